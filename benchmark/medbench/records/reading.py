"""Finished runs, read from disk by folder, record or key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json_lines
from medbench.core.result_table import CaseRow
from medbench.records.schema import RunRecord


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run on disk: its record, its rows by case id, and its folder."""

    record: RunRecord
    rows: Mapping[str, CaseRow]
    folder: Path

    @property
    def title(self) -> str:
        """Model, recipe and the beginning of the key."""
        recipe = ((self.record.model.training or {}).get("recipe") or {}).get("name")
        return f"{self.record.model.title}{f' ({recipe})' if recipe else ''} {self.record.key[:8]}"


def find_run(name: str | Path, runs: Path) -> Run:
    """A run by its folder, its ``record.json``, or the beginning of its key.

    Raises:
        MedbenchError: ``run.unknown``, ``run.ambiguous`` or ``run.damaged``.
    """
    path = Path(name)
    if path.is_dir() or path.is_file():
        return read_run(path if path.is_dir() else path.parent)
    folders = sorted(
        path.parent
        for path in runs.glob("*/*/*/record.json")
        if len(str(name)) >= 4 and path.parent.name.startswith(str(name)[:16])
    )
    if not folders:
        raise MedbenchError(
            "run.unknown",
            f"{name}: is no run folder, and no run in {runs} has a key that begins so.",
            "Give the folder that medbench run printed, or at least four letters of the key.",
        )
    if len(folders) > 1:
        names = ", ".join(map(str, folders[:4]))
        raise MedbenchError(
            "run.ambiguous", f"{name}: several runs begin so: {names}.", "Give more letters of the key."
        )
    return read_run(folders[0])


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        MedbenchError: ``run.unknown`` when it holds no record, ``run.damaged`` naming the file.
    """
    record_path, rows_path = folder / "record.json", folder / "cases.jsonl"
    for path in (record_path, rows_path):
        if not path.is_file():
            raise MedbenchError(
                "run.unknown",
                f"{folder}: holds no {path.name}, so it is no finished run.",
                "Repeat the run's command until it finishes.",
            )
    try:
        record = RunRecord.model_validate_json(record_path.read_bytes())
        rows = [CaseRow.from_json(row) for row in read_json_lines(rows_path)]
    except (ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise MedbenchError(
            "run.damaged", f"{folder}: its record or rows cannot be read ({reason}).", "Repeat the run."
        ) from error
    if len(rows) != record.counts.total:
        raise MedbenchError(
            "run.damaged",
            f"{rows_path}: has {len(rows)} rows where the record says {record.counts.total}.",
            "Repeat the run's command; it goes on where it stopped.",
        )
    return Run(record, {row.case: row for row in rows}, folder)


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a run that this process finished.

    Attributes:
        record: the run record.
        rows: one a case.
        folder: the run directory.
        resumed: cases that an earlier call had finished.
    """

    record: RunRecord
    rows: Sequence[CaseRow]
    folder: Path
    resumed: int = 0

    @property
    def exit_code(self) -> int:
        """0, or 1 when some cases failed or have no prediction."""
        return 0 if self.record.status == "complete" else 1
