"""Names of models of one's own: ``my_net.py:MyNet``, ``file:…``, ``docker:…``, ``command:…``, or declared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.folders import at_home
from medbench.core.plugins import loaded_plugins
from medbench.core.project import Project, current_project
from medbench.core.registry import unknown_name

Kind = Literal["python", "file", "docker", "command"]

FILE_SUFFIXES = (".onnx", ".pt2", ".pt", ".ts", ".torchscript")
_WORDS = {
    "channel_order": ("RGB", "BGR"),
    "background": ("zero", "scaled"),
    "blending": ("gaussian", "uniform"),
}
CONTRACT = ("size", "channels", "scale", "mean", "std", *_WORDS)
_PYTHON = re.compile(r"(?P<file>.+\.py):(?P<object>[A-Za-z_]\w*)")
_IMAGE = re.compile(r"[\w./:-]+@sha256:[0-9a-f]{64}")
_ENTRIES = {"title", "file", "class", "docker", "command", "input", "options"}

_paths: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model of one's own.

    Attributes:
        name: name in records and folders, without folders of this machine.
        kind: ``python``, ``file``, ``docker`` or ``command``.
        target: the file, the image with its digest, or the command.
        object_name: class or function of a Python file.
        title: title in tables.
        input: the stated input contract, by the names of :data:`CONTRACT`.
        options: options that a declaration fixes.
    """

    name: str
    kind: Kind
    target: str
    object_name: str = ""
    title: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file of a Python class or an exported network."""
        return Path(self.target)

    def sha256(self) -> str:
        """SHA-256 of what decides the answers: the file's content, the image's digest, the command."""
        if self.kind in ("python", "file"):
            return sha256_file(self.path)
        return hashlib.sha256(f"{self.kind}:{self.target}".encode()).hexdigest()


def local_model(name: str) -> LocalModel | None:
    """The model of one's own of a name; ``None`` where the name has no such form and is not declared.

    Raises:
        MedbenchError: ``model.file`` for a file that is not there or of another type, ``model.image`` for an
            image without its digest, ``model.command`` for a command without its folders,
            ``model.declaration`` for a wrong table of the project file.
    """
    kind, colon, rest = name.partition(":")
    if kind in ("file", "docker", "command") and colon:
        return _of(kind, rest)  # type: ignore[arg-type]
    match = _PYTHON.fullmatch(name)
    if match is not None:
        return _python(match["file"], match["object"])
    project = current_project()
    if name in project.models:
        return _declared(project, name)
    if name.endswith((".py", *FILE_SUFFIXES)):
        kind = "a class of a file" if name.endswith(".py") else "an exported network"
        form = f"{name}:CLASS" if name.endswith(".py") else f"file:{name}"
        raise MedbenchError("model.file", f"{name}: names a file, not a model.", f"For {kind}: -m {form}.")
    return None


def _of(kind: Kind, target: str) -> LocalModel:
    if kind == "file":
        return _file(target)
    if kind == "docker":
        if not _IMAGE.fullmatch(target):
            raise MedbenchError(
                "model.image",
                f"docker:{target}: names no image by its digest.",
                "Write docker:NAME@sha256:…; 'docker images --digests' shows it.",
            )
        return LocalModel(f"docker:{target}", "docker", target)
    if "{input}" not in target or "{output}" not in target:
        raise MedbenchError(
            "model.command",
            f"command:{target}: lacks {{input}} or {{output}}.",
            "For example -m command:'python predict.py {input} {output}'.",
        )
    return LocalModel(f"command:{target}", "command", target)


def _file(target: str) -> LocalModel:
    path = _there(target, f"file:{Path(target).name}")
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise MedbenchError(
            "model.file",
            f"file:{target}: '{path.suffix}' is no format of exported networks.",
            f"Known: {', '.join(FILE_SUFFIXES)}. Weights alone go to --weights.",
        )
    return LocalModel(_kept_name("file", path), "file", str(path))


def _python(target: str, object_name: str) -> LocalModel:
    path = _there(target, f"{Path(target).name}:{object_name}")
    name = _kept_name("python", path, object_name)
    return LocalModel(name, "python", str(path), object_name)


def _there(target: str, name: str) -> Path:
    """The file: where it was seen before under this name, as given, or among the loaded plug-ins."""
    file = at_home(target)
    plugin_files = {path.name: path for path in loaded_plugins()}
    places = [Path(_paths[name])] if name in _paths else []
    places += [file.resolve()] if file.is_file() else []
    if len({*places}) > 1:
        raise MedbenchError(
            "model.file",
            f"{target}: names two files, {places[0]} and {places[1]}.",
            "Rename one of them, or use one a process.",
        )
    path = next((place for place in (*places, plugin_files.get(file.name, file)) if place.is_file()), None)
    if path is None:
        raise MedbenchError("model.file", f"{target}: there is no such file.", "Check the model's path.")
    return path.resolve()


def _kept_name(kind: Kind, path: Path, object_name: str = "") -> str:
    """A name without folders; with as many as tell files of one name apart."""
    for count in range(1, len(path.parts) + 1):
        short = "/".join(path.parts[-count:])
        name = f"file:{short}" if kind == "file" else f"{short}:{object_name}"
        if _paths.setdefault(name, str(path)) == str(path):
            return name
    raise AssertionError("a whole path names one file")


def keep_exported(folder: Path) -> None:
    """Take the exported networks of a folder, which may be missing, under their names without folders."""
    for path in sorted(folder.glob("*")):
        _paths[f"file:{path.name}"] = str(path)


def _declared(project: Project, name: str) -> LocalModel:
    table = project.models[name]

    def wrong(message: str, hint: str) -> MedbenchError:
        return MedbenchError("model.declaration", f"{project.path}, [models.{name}]: {message}.", hint)

    for entry in table:
        if entry not in _ENTRIES:
            raise wrong(f"'{entry}' is no entry of a model", unknown_name("entry", entry, _ENTRIES).hint)
    sources = [entry for entry in ("file", "docker", "command") if entry in table]
    if len(sources) != 1:
        raise wrong(
            "expected one of file, docker and command", 'For example file = "my_net.py", class = "MyNet".'
        )
    target = str(table[sources[0]])
    if sources[0] == "file":
        target = str(project.folder / at_home(target))
    if target.endswith(".py"):
        if "class" not in table:
            raise wrong("class is missing", "Name the class of the file.")
        model = _python(target, str(table["class"]))
    else:
        model = _of(sources[0], target)  # type: ignore[arg-type]
    contract = table.get("input", {})
    check_contract(contract, f"{project.path}, [models.{name}]")
    return LocalModel(
        name, model.kind, model.target, model.object_name, str(table.get("title", name)), contract,
        dict(table.get("options", {})),
    )  # fmt: skip


def check_contract(contract: Mapping[str, Any], where: str) -> None:
    """Refuse an entry that input contracts do not have, or a value of another kind.

    Raises:
        MedbenchError: ``model.contract``.
    """
    for key, value in contract.items():
        if key not in CONTRACT:
            raise MedbenchError(
                "model.contract",
                f"{where}: '{key}' is no entry of an input contract.",
                f"Known: {', '.join(CONTRACT)}.",
            )
        if key in ("mean", "std"):
            fits = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
        elif key in ("size", "channels", "scale"):
            fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        else:
            fits = value in _WORDS[key]
        if not fits:
            raise MedbenchError(
                "model.contract", f"{where}: {key} is {value!r}.", "See docs/own_data_and_models.md."
            )


def declared_models() -> list[str]:
    """Names of the models of the project file."""
    return sorted(current_project().models)
