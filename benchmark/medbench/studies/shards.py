"""Shards of a study: every n-th cell in a job of its own, merged into the very bytes of one run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.io.gate.listing import visible_paths
from medbench.running.shard import SHARDS, Shard, check_complete, read_shard, write_shard
from medbench.studies.outcomes import CELLS, RUNS

STUDY = "study.json"


def note_shard(folder: Path, shard: Shard, study: str, cells: Sequence[str]) -> None:
    """Note in the study's folder that a shard was worked off."""
    entry = {"whole": study, "shard": shard.number, "shards": shard.of, "cells": list(cells)}
    write_shard(folder / SHARDS / shard.file_name, entry)


def merge_shards(folders: Sequence[Path], output: Path) -> None:
    """Bring the shards of one study together in ``output``.

    Args:
        folders: of the shards; one that several shards shared is named once.
        output: an empty folder, or one of ``folders`` to add the others to it.

    Raises:
        MedbenchError: ``shard.none``, ``shard.other_study``, ``shard.doubled`` or ``shard.missing``, which
            name the shards and their folders; ``shard.damaged``; ``data.target_exists``.
    """
    shards = _read(folders)
    check_complete(shards)
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
        files = visible_paths(folder / SHARDS, "*.json")
        if not files or not (folder / STUDY).is_file():
            if not folder.is_dir():
                message = f"{folder}: there is no such folder."
                raise MedbenchError("shard.none", message, "Give the folders of the n shards.")
            raise MedbenchError(
                "shard.none",
                f"{folder}: holds no finished shard.",
                "Repeat its command (medbench study, run or evaluate … --shard i/n) until it ends.",
            )
        shards += [(path, read_shard(path)) for path in files]
    return shards
