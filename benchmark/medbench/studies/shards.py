"""Shards of a study: every n-th cell in a job of its own, merged into the very bytes of one run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.studies.outcomes import CELLS, RUNS

SHARDS, STUDY = "shards", "study.json"
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
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.number}-of-{self.of}.json"


def write_shard(folder: Path, shard: Shard, study: str, cells: Sequence[str]) -> None:
    """Note in the study's folder that a shard was worked off."""
    entry = {"study": study, "shard": shard.number, "shards": shard.of, "cells": list(cells)}
    write_json(folder / SHARDS / shard.file_name, entry)


def merge_shards(folders: Sequence[Path], output: Path) -> None:
    """Bring the shards of one study together in ``output``.

    Args:
        folders: of the shards; one that several shards shared is named once.
        output: an empty folder, or one of ``folders`` to add the others to it.

    Raises:
        MedbenchError: ``shard.none``, ``shard.other_study``, ``shard.doubled`` or ``shard.missing``, which
            name the shards and their folders; ``data.target_exists``.
    """
    shards = _read(folders)
    _check(shards)
    if output.exists() and any(output.iterdir()) and output.resolve() not in [p.resolve() for p in folders]:
        raise MedbenchError(
            "data.target_exists", f"{output}: exists and is no shard.", "Choose an empty folder with -o."
        )
    for folder in folders:
        if folder.resolve() == output.resolve():
            continue
        for name in (CELLS, RUNS, SHARDS):
            if (folder / name).is_dir():
                shutil.copytree(folder / name, output / name, dirs_exist_ok=True)
        if not (output / STUDY).exists():
            shutil.copy(folder / STUDY, output / STUDY)


def _read(folders: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    shards = []
    for folder in folders:
        files = sorted((folder / SHARDS).glob("*.json"))
        if not files or not (folder / STUDY).is_file():
            raise MedbenchError(
                "shard.none",
                f"{folder}: holds no finished shard of a study.",
                "Repeat its command (medbench study … --shard i/n) until it ends.",
            )
        shards += [(path, read_json(path)) for path in files]
    return shards


def _check(shards: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    first_path, first = shards[0]
    for path, shard in shards[1:]:
        if (shard["study"], shard["shards"]) != (first["study"], first["shards"]):
            raise MedbenchError(
                "shard.other_study",
                f"{path} and {first_path} are no shards of the same study in as many parts.",
                "Merge shards of one study file, all with the same n.",
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
            f"Run medbench study … --shard {missing[0]}/{first['shards']}, and name its folder too.",
        )
