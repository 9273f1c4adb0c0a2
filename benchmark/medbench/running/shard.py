"""Shards: every n-th of some cases or cells in a job of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.result_table import CaseRow
from medbench.core.seals import read_lines, sealed_line
from medbench.io.gate.listing import visible_paths

SHARDS = "shards"
"""Folder of a challenge's runs with shards, by the key of their whole."""
_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``number``-th of ``of`` shards, from 1: the cells or cases at its place in turn."""

    number: int
    of: int

    @staticmethod
    def parse(text: str) -> Shard:
        """A shard from ``i/n``.

        Raises:
            MedbenchError: ``shard.malformed``.
        """
        match = _SHARD.fullmatch(text.strip())
        shard = Shard(*map(int, match.groups())) if match else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise MedbenchError(
                "shard.malformed", f"'{text}' is no shard.", "Give i/n, the first of four as 1/4."
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, items: Sequence[Any]) -> list[Any]:
        """The shard's items."""
        return list(items[self.number - 1 :: self.of])

    @property
    def name(self) -> str:
        """Its name in file names."""
        return f"{self.number}-of-{self.of}"

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.name}.json"


def write_shard(path: Path, entry: Mapping[str, Any]) -> None:
    """Write what a shard says of itself as one line of JSON that ends with its own hash."""
    write_text(path, sealed_line(entry) + "\n")


def read_shard(path: Path) -> dict[str, Any]:
    """What a shard says of itself.

    Raises:
        MedbenchError: ``shard.damaged`` for a file that is edited, cut off or without its hash.
    """
    if not holds_shard(path):
        raise MedbenchError(
            "shard.damaged",
            f"{path}: was edited or cut off, or has no hash, as before there were any.",
            "Repeat the command of its shard.",
        )
    return dict(read_lines(path)[0].row)


def holds_shard(path: Path) -> bool:
    """Whether a file holds what a shard says of itself, unchanged."""
    return [line.state for line in read_lines(path)] == ["sealed"]


def read_shards(folders: Sequence[Path], command: str) -> list[tuple[Path, dict[str, Any]]]:
    """Files of the finished shards in some folders with their content, each of the same whole, once.

    Args:
        folders: of the shards; one that several shards share is named once.
        command: what made them, for the hint.

    Raises:
        MedbenchError: ``shard.none`` for a folder without one, or as :func:`read_shard` and
            :func:`check_complete`.
    """
    shards: list[tuple[Path, dict[str, Any]]] = []
    for folder in folders:
        files = visible_paths(folder, "*-of-*.json")
        if not files:
            raise MedbenchError(
                "shard.none",
                f"{folder}: holds no finished shard.",
                f"Repeat its command ({command} … --shard i/n) until it ends.",
            )
        shards += [(path, read_shard(path)) for path in files]
    check_complete(shards)
    return shards


def shard_rows(path: Path) -> list[CaseRow]:
    """The rows of a shard.

    Raises:
        MedbenchError: ``shard.damaged`` for a file that is gone, edited or cut off.
    """
    lines = read_lines(path)
    bad_line = next((line for line in lines if line.state != "sealed"), None)
    if bad_line is not None or not path.is_file():
        where = f", line {bad_line.number}" if bad_line else ""
        raise MedbenchError("shard.damaged", f"{path}{where}: was edited or cut off.", "Do its shard again.")
    return [CaseRow.from_json(line.row) for line in lines]


def check_complete(shards: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Refuse shards that are not each of the same whole, once.

    Args:
        shards: file -> its ``whole``, ``shard`` and ``shards``.

    Raises:
        MedbenchError: ``shard.other_study``, ``shard.doubled`` or ``shard.missing``.
    """
    first_path, first = shards[0]
    for path, shard in shards[1:]:
        if (shard["whole"], shard["shards"]) != (first["whole"], first["shards"]):
            raise MedbenchError(
                "shard.other_study",
                f"{path} and {first_path} are shards of different commands, or of different n.",
                "Merge shards of one command, all with the same n.",
            )
    by_number: dict[int, list[Path]] = {}
    for path, shard in shards:
        by_number.setdefault(shard["shard"], []).append(path)
    for number, paths in sorted(by_number.items()):
        if len(paths) > 1:
            raise MedbenchError(
                "shard.doubled",
                f"Shard {number}/{first['shards']} is there {len(paths)} times: "
                f"{', '.join(map(str, paths))}.",
                "Name each shard's folder once.",
            )
    missing = [number for number in range(1, first["shards"] + 1) if number not in by_number]
    if missing:
        names = ", ".join(f"{number}/{first['shards']}" for number in missing)
        raise MedbenchError(
            "shard.missing",
            f"{'Shard' if len(missing) == 1 else 'Shards'} {names} of {first['shards']} not there.",
            f"Repeat the command with --shard {missing[0]}/{first['shards']}, and name its folder too.",
        )
