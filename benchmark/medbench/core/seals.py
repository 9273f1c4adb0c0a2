"""Hashes of our own tables: every line carries its own, and a seal beside the file holds that of the whole.

A line is a JSON object whose last entry, ``sha256``, is the hash of the line without that entry, to the byte.
A seal is a text file as ``sha256sum`` writes and checks it. Lines from before there were hashes are unsealed:
they are read, and never taken for sealed ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import dump_json, parse_json, read_pieces, sha256_file, write_text

State = Literal["sealed", "unsealed", "edited", "torn", "unreadable"]

_OWN_HASH = re.compile(r', "sha256": "([^"]*)"\}\Z')
_ENTRY = re.compile(r"([0-9a-f]{64})  ([^/\\\n]+)")
_WRONG: Mapping[State, str] = {
    "edited": "was edited after medbench wrote it",
    "torn": "is cut off",
    "unreadable": "is no JSON object",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Attributes:
        number: from 1 on.
        text: without the line break.
        row: the object without its hash; empty where the line cannot be read.
        state: whether its hash is there and right.
    """

    number: int
    text: str
    row: Mapping[str, Any]
    state: State

    @property
    def intact(self) -> bool:
        """Whether the line can be read and its hash, if it has one, is right."""
        return self.state not in _WRONG


def sealed_line(row: Mapping[str, Any]) -> str:
    """An object as a line that ends with its own hash."""
    text = dump_json(row)
    return f'{text[:-1]}, "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}'


def read_lines(path: Path) -> list[Line]:
    """Every line of a table that is not blank, whatever its state; none where there is no file."""
    if not path.exists():
        return []
    pieces = read_pieces(path)
    return [
        _line(number, piece, last=number == len(pieces))
        for number, piece in enumerate(pieces, start=1)
        if piece.strip()
    ]


def _line(number: int, piece: bytes, last: bool) -> Line:
    text = piece.decode(errors="replace")
    try:
        row = parse_json(text if text.isascii() else piece, strict=True)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        return Line(number, text, {}, "torn" if last else "unreadable")
    if "sha256" not in row:
        return Line(number, text, row, "unsealed")
    del row["sha256"]
    own = hashed_part(text)
    right = own is not None and hashlib.sha256(own[0].encode()).hexdigest() == own[1]
    return Line(number, text, row, "sealed" if right else "edited")


def hashed_part(text: str) -> tuple[str, str] | None:
    """Content of a sealed line without its hash, and the hash; ``None`` for other lines."""
    own = _OWN_HASH.search(text)
    return (f"{text[: own.start()]}}}", own[1]) if own else None


def read_table(path: Path, code: str) -> list[Line]:
    """The lines of a table, all of them intact.

    Args:
        path: the file; its seal, ``NAME.sha256``, is checked where it is there.
        code: of the error.

    Raises:
        MedbenchError: with ``code``, naming the file and the line.
    """
    lines = read_lines(path)
    for line in lines:
        if not line.intact:
            raise MedbenchError(
                code,
                f"{path}, line {line.number}: {_WRONG[line.state]}.",
                "Restore the file from version control or a copy, or take that line out by hand.",
            )
    seal = seal_of(path)
    if seal.exists() and broken_seals(seal, [path.name]):
        raise MedbenchError(
            code,
            f"{path}: lines were added, changed or removed since medbench wrote {seal.name}.",
            f"Restore the file from version control or a copy; if its lines are meant, remove {seal.name}.",
        )
    return lines


def write_table(path: Path, lines: Sequence[str]) -> None:
    """Write a table and its seal so that an interruption at any time leaves a table that fits its seal."""
    text = "".join(f"{line}\n" for line in lines)
    entry = _entry(hashlib.sha256(text.encode()).hexdigest(), path.name)
    before = _entry(sha256_file(path), path.name) if path.exists() else ""
    write_text(seal_of(path), entry if before == entry else before + entry)
    write_text(path, text)
    write_text(seal_of(path), entry)


def seal_of(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_suffix(".sha256")


def write_seal(seal: Path, files: Sequence[Path]) -> None:
    """Write the hashes of files that lie beside the seal."""
    write_text(seal, "".join(_entry(sha256_file(path), path.name) for path in files))


def broken_seals(seal: Path, names: Sequence[str]) -> list[str]:
    """Which of the files beside a seal it does not fit; the seal's own name where that cannot be read.

    A name that stands there twice fits by either hash.
    """
    digests: dict[str, set[str]] = {}
    *entries, rest = read_pieces(seal)
    for line in entries:
        entry = _ENTRY.fullmatch(line.decode(errors="replace"))
        if entry is None or entry[1] in digests.get(entry[2], ()):
            return [seal.name]
        digests.setdefault(entry[2], set()).add(entry[1])
    if digests.keys() != set(names) or rest:
        return [seal.name]
    paths = map(seal.with_name, names)
    return [path.name for path in paths if not path.is_file() or sha256_file(path) not in digests[path.name]]


def _entry(digest: str, name: str) -> str:
    return f"{digest}  {name}\n"
