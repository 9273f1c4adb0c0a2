"""Writing of declarations into a project file; what is there is kept as it stands."""

from __future__ import annotations

import json
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.project import PROJECT_FILE, find_project, read_project

_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa"})
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = "# Data sets, models and predictions of this project, by name: medbench run -m MODEL -c NAME.\n"


def name_of(folder: Path) -> str:
    """The name of a data set after its folder.

    >>> name_of(Path("Our Polyps-2"))
    'our_polyps_2'
    >>> name_of(Path("Größe é"))
    'groesse_e'
    """
    plain = folder.resolve().name.lower().translate(_LETTERS)
    letters = "".join(one for one in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(one))
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_") or "own"


def declaration_text(section: str, entries: Mapping[str, Any]) -> str:
    """A TOML table such as ``[data.NAME]``, ``[models.NAME]`` or ``[options]``."""
    kind, _, name = section.partition(".")
    lines = [
        f"[{kind}.{_key(name)}]" if name else f"[{kind}]",
        *(f"{key} = {_toml(value)}" for key, value in entries.items()),
    ]
    return "\n".join(lines) + "\n"


def append_declaration(folder: Path, name: str, entries: Mapping[str, Any], file: Path | None = None) -> Path:
    """Add a data set to the project file, found from the working folder upwards or made there.

    Args:
        folder: the data.
        name: of the data set; also its title, unless it is the folder's.
        entries: of its declaration, without ``root``.
        file: the project file.

    Returns:
        The project file.

    Raises:
        MedbenchError: ``declaration.exists``, or as :func:`medbench.core.project.read_project`.
    """
    path = file or find_project() or Path.cwd() / PROJECT_FILE
    before = ""
    if path.exists():
        if name in read_project(path).data:
            raise MedbenchError(
                "declaration.exists",
                f"{path}: [data.{name}] exists already.",
                f"Choose another --name, edit the entry, or remove it and {name}.splits.json to start anew.",
            )
        before = path.read_text(encoding="utf-8-sig").rstrip() + "\n\n"
    root = Path(os.path.relpath(folder.resolve(), path.resolve().parent)).as_posix()
    title = folder.resolve().name if name == name_of(folder) else name
    text = (before or _HEAD) + declaration_text(f"data.{name}", {"title": title, "root": root, **entries})
    tomllib.loads(text)
    write_text(path, text)
    return path


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(key))} = {_toml(entry)}" for key, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
