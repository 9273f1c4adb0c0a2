"""Plug-ins: a user's own Python files, and installed distributions that register models, challenges …

A plug-in's code decides results as the package's own does, so its hash enters the key and the record of every
run. So do the files that it opens itself: a plug-in file names them in ``medbench_files``; of an installed
distribution every file of its packages counts.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home
from medbench.core.imported_files import imported_files
from medbench.core.text import first_line

GROUPS = tuple(f"medbench.{kind}s" for kind in ("model", "challenge", "metric", "platform", "task"))
_PREFIX = "medbench_plugin_"
_NAME = "plugin-name"
_DATA = "medbench_files"

_files: dict[Path, tuple[str, ...]] = {}
_modules: dict[Path, str] = {}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in in use.

    Attributes:
        name: file name, or name and version of a distribution.
        sha256: of the file, of what it imports from its own folder and of its ``medbench_files``; of a
            distribution's RECORD, or of the files of its packages where it is installed in editable form.
        path: the file; ``None`` for a distribution.
    """

    name: str
    sha256: str
    path: Path | None = None


def load_plugin(path: Path) -> None:
    """Import a file of ``--plugin``; its models, challenges … register themselves on import.

    Raises:
        MedbenchError: ``plugin.missing``, ``plugin.broken`` with the line of the file that failed,
            ``plugin.files`` where its ``medbench_files`` are not beside it, or as the registration that is
            refused, with the file's name.
    """
    path = at_home(path)
    if not path.is_file():
        raise MedbenchError("plugin.missing", f"{path}: there is no such file.", "Check --plugin.")
    path = path.resolve()
    if path in _files:
        return
    name = f"{_PREFIX}{path.stem}"
    if name in sys.modules:
        name += f"_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MedbenchError("plugin.broken", f"{path}: is no Python file.", "Give a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except MedbenchError as error:
        del sys.modules[name]
        raise MedbenchError(error.code, f"{path}: {error.message}", error.hint) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise broken(str(path), error) from error
    _data_files(path, module)
    _files[path] = tuple(sorted(set(sys.modules) - before))
    _modules[path] = name


def module_of(path: Path) -> str:
    """Name of the module of a file that :func:`load_plugin` has imported."""
    return _modules[path.resolve()]


def broken(where: str, error: BaseException) -> MedbenchError:
    """The error for a plug-in that fails on import, with the line that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    line = f", line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    if isinstance(error, SyntaxError):
        line = f", line {error.lineno}" if error.lineno else ""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return MedbenchError(
        "plugin.broken",
        f"{where}: the plug-in cannot be loaded ({type(error).__name__}: {first_line(message)}{line}).",
        "Repair the plug-in, or leave it out.",
    )


def loaded_plugins() -> list[Path]:
    """Files that :func:`load_plugin` has imported; child processes import the same."""
    return list(_files)


def plugin_sources() -> dict[Path, list[Path]]:
    """Every loaded file -> the file itself and what it imports from its own folder."""
    return {path: sorted(_own_files(path, modules)) for path, modules in _files.items()}


def copy_plugins(folder: Path) -> None:
    """Copy every loaded file with the files that belong to it, for :func:`load_copied_plugins`."""
    for number, path in enumerate(_files):
        for source in _belongings(path):
            target = folder / f"{number:02}" / source.relative_to(path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        (folder / f"{number:02}" / _NAME).write_text(path.name + "\n", encoding="utf-8")


def load_copied_plugins(folder: Path) -> None:
    """Load what :func:`copy_plugins` put into ``folder``; nothing where the folder is not there.

    Raises:
        MedbenchError: as :func:`load_plugin`.
    """
    for name in sorted(folder.glob(f"*/{_NAME}")):
        load_plugin(name.with_name(name.read_text(encoding="utf-8").strip()))


def plugins_in_use() -> list[Plugin]:
    """Files of ``--plugin`` and installed distributions that register something, sorted by name.

    An installed distribution counts whether or not the run uses one of its parts.
    """
    files = [Plugin(path.name, _joint_sha256(path.parent, _belongings(path)), path) for path in _files]
    packages = [
        Plugin(f"{name} {distribution.version}", _distribution_sha256(distribution))
        for name, distribution in _announced(_search_path()).items()
    ]
    return sorted([*files, *packages], key=lambda plugin: plugin.name)


def _search_path() -> tuple[tuple[str, int], ...]:
    """Folders in which distributions lie, with the time at which one was last added or removed."""
    places = []
    for folder in sys.path:
        try:
            places.append((folder, os.stat(folder or ".").st_mtime_ns))
        except OSError:
            places.append((folder, 0))
    return tuple(places)


@functools.lru_cache(maxsize=8)
def _announced(search_path: tuple[tuple[str, int], ...]) -> dict[str, importlib.metadata.Distribution]:
    """Distributions that announce a plug-in; to read what each announces takes longer than a small run."""
    points = importlib.metadata.entry_points()
    return {
        point.dist.name: point.dist
        for group in GROUPS
        for point in points.select(group=group)
        if point.dist is not None
    }


def plugin_hashes() -> dict[str, str]:
    """Name of each plug-in in use -> SHA-256, for keys and records; empty without plug-ins."""
    return {plugin.name: plugin.sha256 for plugin in plugins_in_use()}


def _belongings(path: Path) -> set[Path]:
    """A loaded file, what it imports from its own folder, and the files that it opens itself."""
    return _own_files(path, _files[path]) | _data_files(path, sys.modules[_modules[path]])


def _data_files(path: Path, module: ModuleType) -> set[Path]:
    """The files that a plug-in opens itself, by the names in its ``medbench_files``; of a folder all in it.

    Raises:
        MedbenchError: ``plugin.files`` for a name of nothing in the plug-in's folder.
    """
    names = getattr(module, _DATA, ())
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise MedbenchError(
            "plugin.files",
            f"{path}: its {_DATA} are no list of names.",
            f'For example {_DATA} = ["sizes.json", "tables"].',
        )
    files: set[Path] = set()
    for name in names:
        place = Path(os.path.normpath(path.parent / name))
        own = set(_files_below(place)) if place.is_dir() else {place}
        if not all(file.is_file() and file.resolve().is_relative_to(path.parent) for file in own) or not own:
            raise MedbenchError(
                "plugin.files",
                f"{path}: its {_DATA} name '{name}', which is no file and no folder with files beside it.",
                f"Put it into {path.parent}, and write its name relative to that folder.",
            )
        files |= own
    return files


def _own_files(path: Path, modules: tuple[str, ...]) -> set[Path]:
    paths, root = imported_files(path), os.path.join(path.parent, "")
    for name in modules:
        origin = getattr(sys.modules.get(name), "__file__", None)
        folder = _real(os.path.dirname(origin)) if origin and os.path.isabs(origin) else ""
        if os.path.join(folder, "").startswith(root):
            paths.add(Path(folder, os.path.basename(str(origin))))
    return paths


@functools.lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    """A folder without links; a plug-in may bring thousands of modules in few folders."""
    return os.path.realpath(folder)


def _distribution_sha256(distribution: importlib.metadata.Distribution) -> str:
    origin = distribution.read_text("direct_url.json")
    if origin and json.loads(origin).get("dir_info", {}).get("editable"):
        sources = set(_sources(distribution))
        if sources:
            return _joint_sha256(min(path.parent for path in sources), sources)
    return hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()


def _sources(distribution: importlib.metadata.Distribution) -> Iterator[Path]:
    """Files of the packages that a distribution's entry points name."""
    tops = {point.module.partition(".")[0] for point in distribution.entry_points if point.group in GROUPS}
    for top in tops:
        spec = importlib.util.find_spec(top)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            yield from _files_below(Path(folder))
        if spec and spec.origin and not spec.submodule_search_locations:
            yield Path(spec.origin)


def _files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder but hidden ones and what Python compiles."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield path


def _joint_sha256(root: Path, paths: set[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
