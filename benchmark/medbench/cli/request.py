"""Options of ``medbench run`` and ``medbench predict``, from the command line and from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.cli.parsing import parse_contract, parse_settings

if TYPE_CHECKING:
    import typer

_SETTINGS = {"settings": ("set", "--set n_win=8"), "tiling": ("tiling", "--tiling margin_px=256")}
"""Parameter of settings -> name of its option, and an example."""


def request_options(context: typer.Context) -> dict[str, Any]:
    """Options by their names: those of ``--request FILE``, and before them those that the command names.

    Raises:
        MedbenchError: as :func:`medbench.running.request_file.read_options`, or ``option.malformed``.
    """
    from medbench.running.request_file import OPTIONS, read_options

    file = context.params["request_file"]
    options = read_options(Path(file)) if file is not None else {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is None or source.name == "DEFAULT":
            continue
        if name in _SETTINGS:
            option, example = _SETTINGS[name]
            options[option] = {**options.get(option, {}), **parse_settings(value, example)}
        elif name == "contract":
            options["set"] = {**options.get("set", {}), "contract": parse_contract(value)}
        elif (option := name.replace("_", "-")) in OPTIONS:
            options[option] = value
    return options
