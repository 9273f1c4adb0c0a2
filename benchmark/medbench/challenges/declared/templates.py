"""Templates of paths: ``{split}/images/{case}.png``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.io.gate.listing import is_metadata

PLACEHOLDERS = ("case", "split", "group", "class")
SECOND_FILES = {".hdr": ".img", ".raw": ".mhd", ".zraw": ".mhd"}
"""Suffix of a volume's second file -> suffix of the one that is read."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Match:
    """A file that fits a template.

    Attributes:
        path: the file.
        case: what stands for ``{case}``, after ``{group}`` and a slash where the template has one.
        split: what stands for ``{split}``; empty where the template has none.
        group: what stands for ``{group}``; empty where the template has none.
        class_name: what stands for ``{class}``; empty where the template has none.
    """

    path: Path
    case: str
    split: str = ""
    group: str = ""
    class_name: str = ""


def check_template(template: str) -> None:
    """Refuse what is no template of paths below the data's folder.

    Raises:
        MedbenchError: ``declaration.template``.
    """
    names = _PLACEHOLDER.findall(template)
    wrong = [name for name in names if name not in PLACEHOLDERS]
    if wrong or "case" not in names or Path(template).is_absolute() or ".." in Path(template).parts:
        raise MedbenchError(
            "declaration.template",
            f"'{template}' is no template of files: "
            + (f"it names {{{wrong[0]}}}." if wrong else "it needs {case} and stays below the folder."),
            "For example images/{case}.png; {split}, {group} and {class} may stand for folders.",
        )


def files_below(root: Path) -> list[str]:
    """Paths of all files below a folder, relative to it and sorted.

    Metadata of file systems and the second file of a volume (``x.hdr`` beside ``x.img``) are left out.
    """
    names: list[str] = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_metadata(name))
        base = Path(place).relative_to(root)
        own = set(files)
        names += [
            (base / name).as_posix() for name in files if not is_metadata(name) and not _is_second(name, own)
        ]
    return sorted(names)


def _is_second(name: str, names: Collection[str]) -> bool:
    stem, suffix = os.path.splitext(name)
    return stem + SECOND_FILES.get(suffix.lower(), suffix + " ") in names


def matches(root: Path, template: str, names: Sequence[str]) -> list[Match]:
    """Files that fit a template.

    Args:
        root: folder of the data.
        template: with ``{case}``; ``*`` stands for any characters of a name. Suffixes match in either case.
        names: paths below ``root``.
    """
    pattern = _pattern(template)
    fitting = []
    for name in names:
        parts = pattern.fullmatch(name)
        if parts is None:
            continue
        values = parts.groupdict()
        case = "/".join(value for value in (values.get("group"), values["case"]) if value)
        fitting.append(
            Match(
                root / name, case, values.get("split", ""), values.get("group", ""), values.get("class", "")
            )
        )
    return fitting


def _pattern(template: str) -> re.Pattern[str]:
    parts, names, end = [], set[str](), 0
    for placeholder in _PLACEHOLDER.finditer(template):
        parts.append(_literal(template[end : placeholder.start()]))
        name, end = placeholder[1], placeholder.end()
        parts.append(f"(?P={name})" if name in names else f"(?P<{name}>[^/]+?)")
        names.add(name)
    rest, dot, suffix = template[end:].partition(".")
    return re.compile("".join(parts) + _literal(rest) + (f"(?i:{_literal(dot + suffix)})" if dot else ""))


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*")
