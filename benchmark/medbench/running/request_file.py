"""Requests from TOML files and from options by their command-line names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml
from medbench.core.folders import at_home
from medbench.core.plugins import loaded_plugins
from medbench.core.registry import unknown_name
from medbench.running.request import AUTO, NONE, Inference, Request

OPTIONS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "challenge": (str,),
    "data": (str,),
    "split": (str,),
    "weights": (str,),
    "recipe": (str,),
    "set": (dict,),
    "device": (str,),
    "precision": (str,),
    "force-precision": (bool,),
    "batch-size": (int,),
    "image-size": (int,),
    "modalities": (str, list),
    "overlap": (float, int),
    "mirror": (bool,),
    "tiling": (dict,),
    "stitch": (bool,),
    "cases": (str,),
    "seed": (int,),
    "repeats": (int,),
    "runs": (str,),
    "leaderboards": (str,),
    "plugin": (list,),
}
"""Name of an option -> what a file may give it."""

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list",
          dict: "a table"}  # fmt: skip
_PATHS = ("data", "weights", "runs", "leaderboards")
_INFERENCE = tuple(entry.name for entry in dataclasses.fields(Inference))


def read_options(path: Path) -> dict[str, Any]:
    """Options in a TOML file; its relative paths start at the file's folder.

    Raises:
        MedbenchError: ``request.missing``, ``request.syntax``, ``request.option`` with the nearest names, or
            ``request.value`` for a value of another kind.
    """
    try:
        options = read_toml(path)
    except OSError as error:
        raise MedbenchError(
            "request.missing", f"{path}: cannot be read ({error.strerror}).", "Check --request."
        ) from error
    except ValueError as error:
        raise MedbenchError(
            "request.syntax",
            f"{path}: is no TOML ({error}).",
            'Write one option a line, e.g. model = "unet".',
        ) from error
    for name, value in options.items():
        _check(path, name, value)
    for name in _PATHS:
        if name in options and options[name] not in (AUTO, NONE):
            options[name] = str(path.parent / at_home(options[name]))
    if "plugin" in options:
        options["plugin"] = [path.parent / at_home(name) for name in options["plugin"]]
    return options


def request_of(options: Mapping[str, Any]) -> Request:
    """A request from options by their names in :data:`OPTIONS`; plug-ins of the options join the loaded ones.

    Raises:
        MedbenchError: ``option.missing`` without a model or a challenge, or as :class:`Inference`.
    """
    for name in ("model", "challenge"):
        if name not in options:
            raise MedbenchError(
                "option.missing", f"--{name} is missing.", "Give it, or name a file that has it by --request."
            )
    fields = {name.replace("-", "_"): value for name, value in options.items()}
    settings = {name: fields.pop(name) for name in _INFERENCE if name in fields}
    if isinstance(settings.get("modalities"), str):
        settings["modalities"] = settings["modalities"].split(",")
    if "modalities" in settings:
        names = (name.strip() for name in settings["modalities"])
        settings["modalities"] = tuple(name for name in names if name)
    plugins = [Path(path).resolve() for path in fields.pop("plugin", ())]
    for name in ("data", "runs", "leaderboards"):
        fields |= {name: at_home(fields[name])} if name in fields else {}
    return Request(
        options=fields.pop("set", {}),
        inference=Inference(**settings),
        plugins=tuple(dict.fromkeys([*loaded_plugins(), *plugins])),
        **fields,
    )


def _check(path: Path, name: str, value: Any) -> None:
    if name not in OPTIONS:
        error = unknown_name("option", name, OPTIONS)
        raise MedbenchError("request.option", f"{path}: {error.message}", error.hint)
    kinds = OPTIONS[name]
    if type(value) not in kinds:
        raise MedbenchError(
            "request.value",
            f"{path}: {name} = {value!r} is not {' or '.join(_WORDS[kind] for kind in kinds)}.",
            f"See 'medbench run --help' for --{name}.",
        )
    if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
        raise MedbenchError("request.value", f"{path}: {name} must hold text only.", "Give a list of text.")
