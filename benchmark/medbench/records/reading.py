"""Finished runs, read from disk by folder, record or key."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.core.files import read_bytes
from medbench.core.named_predictions import NamedPredictions, named_predictions
from medbench.core.result_table import CaseRow
from medbench.core.seals import broken_seals, read_lines, seal_of
from medbench.core.text import counted, counted_are, first_line, printable
from medbench.records.agreement import differing_cells, disagreement
from medbench.records.notebook import Rows, frame_of, html_of
from medbench.records.schema import RunRecord

if TYPE_CHECKING:
    import pandas as pd

JOURNAL, RECORD = "cases.jsonl", "record.json"
UNSEALED = "unsealed"
EVIDENCE = "evidence"
"""Folder of a challenge's leaderboard with the record and cases of each row, by key."""
LEAST_LETTERS = 4
PREDICTIONS = "predictions"
"""Folder of a challenge's runs with evaluations of predictions."""
KEY_LENGTH = 16
"""Letters of a key that name a run directory."""
_GIVE = (
    f"Give the folder RUNS/CHALLENGE/MODEL/KEY that medbench run printed, its {RECORD}, or at least "
    f"{LEAST_LETTERS} letters of the key."
)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run on disk: its record, rows by case id and folder, and whether hashes protect them."""

    record: RunRecord
    rows: Mapping[str, CaseRow]
    folder: Path
    sealed: bool = True

    @property
    def title(self) -> str:
        """Model, recipe and the beginning of the key; whether nothing shows that the run was not edited."""
        recipe = ((self.record.model.training or {}).get("recipe") or {}).get("name")
        name = f"{self.record.model.title}{f' ({recipe})' if recipe else ''} {self.record.key[:8]}"
        return name if self.sealed else f"{name} ({UNSEALED})"

    def to_pandas(self, of: Rows = "metrics") -> pd.DataFrame:
        """The run as a pandas frame, as :meth:`Finished.to_pandas`."""
        return frame_of(self.record, list(self.rows.values()), of)

    def _repr_html_(self) -> str:
        """The result table, as notebooks show it."""
        return html_of(self.record)


def find_run(name: str | Path, runs: Path, leaderboards: Path | None = None) -> Run:
    """A run by its folder, its ``record.json``, the beginning of its key, or a name of declared predictions.

    Args:
        name: folder, file, at least four letters of a key, or a name under ``[predictions]`` of the project
            file, whose last evaluation is meant.
        runs: folder of run directories.
        leaderboards: folder of leaderboards, whose rows' evidence stands in for runs that are not here.

    Raises:
        MedbenchError: ``run.unknown``, ``run.ambiguous`` or ``run.damaged``.
    """
    predictions = named_predictions(str(name))
    if predictions is not None:
        return _last_evaluation(predictions, runs)
    path = Path(name)
    if path.is_dir():
        return read_run(path)
    if path.is_file():
        if not (path.parent / RECORD).is_file():
            raise MedbenchError("run.unknown", f"{path}: is no {RECORD} and lies in no run folder.", _GIVE)
        return read_run(path.parent)
    folders = _folders(str(name), runs, "*/*/*/")
    if not folders and leaderboards is not None:
        folders = _folders(str(name), leaderboards, f"*/{EVIDENCE}/*/")
    if not folders:
        raise MedbenchError("run.unknown", f"{name}: {_no_run(str(name), runs, leaderboards)}.", _GIVE)
    if len(folders) > 1:
        names = ", ".join(map(str, folders[:4]))
        raise MedbenchError(
            "run.ambiguous",
            f"{name}: several keys begin with this name: {names}.",
            "Give more letters of the key.",
        )
    return read_run(folders[0])


def _no_run(name: str, runs: Path, leaderboards: Path | None) -> str:
    """Why a name that is no file names no run."""
    if len(Path(name).parts) > 1:
        return "there is no such folder or file"
    if len(name) < LEAST_LETTERS:
        return f"there is no such folder, and a key is named by {LEAST_LETTERS} letters at least"
    boards = f" and no row in {leaderboards}" if leaderboards is not None else ""
    return f"there is no such folder, and no run in {runs}{boards} has a key that begins so"


def _last_evaluation(predictions: NamedPredictions, runs: Path) -> Run:
    """The newest evaluation of declared predictions."""
    records = list(runs.glob(f"{predictions.challenge or '*'}/{PREDICTIONS}/*/{RECORD}"))
    evaluations = [
        read_run(path.parent) for path in sorted(records, key=lambda path: path.stat().st_mtime_ns)
    ]
    own = [run for run in evaluations if run.record.model.title == printable(predictions.title)]
    if not own:
        raise MedbenchError(
            "run.unknown",
            f"{predictions.name}: these predictions of medbench.toml were not evaluated in {runs} yet.",
            f"medbench evaluate -p {predictions.name}" + ("" if predictions.challenge else " -c CHALLENGE"),
        )
    challenges = sorted({run.record.challenge.name for run in own})
    if len(challenges) > 1:
        raise MedbenchError(
            "run.ambiguous",
            f"{predictions.name}: was evaluated on {', '.join(challenges)}.",
            f"Add challenge to [predictions.{predictions.name}], or give the key.",
        )
    return own[-1]


def _folders(name: str, root: Path, places: str) -> list[Path]:
    """Folders of records whose key begins so."""
    if len(name) < LEAST_LETTERS:
        return []
    records = root.glob(f"{places}{RECORD}")
    return sorted(path.parent for path in records if path.parent.name.startswith(name[:KEY_LENGTH]))


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        MedbenchError: ``run.unknown`` when it holds no record, ``run.damaged`` naming the file (and the line)
            that was edited, cut off or says otherwise than the other.
    """
    record_path, rows_path = folder / RECORD, folder / JOURNAL
    for path in (record_path, rows_path):
        if not path.is_file():
            raise _unfinished(folder, path.name)
    try:
        record = RunRecord.model_validate_json(read_bytes(record_path))
        lines = read_lines(rows_path)
        bad_line = next((line for line in lines if not line.intact), None)
        if bad_line is not None:
            raise _damaged(f"{rows_path}, line {bad_line.number}: was edited or cut off.")
        rows = [CaseRow.from_json(line.row) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = first_line(error)
        raise _damaged(f"{folder}: its record or rows cannot be read ({reason}).") from error
    has_seal = _check_seal(folder, any(line.state == "sealed" for line in lines))
    if len(rows) != record.counts.total:
        raise _damaged(
            f"{rows_path}: has {counted(len(rows), 'row')} where the record says {record.counts.total}."
        )
    if difference := disagreement(record, rows):
        raise _damaged(f"{record_path}: disagrees with {JOURNAL}: {difference}.")
    return Run(record, {row.case: row for row in rows}, folder, has_seal)


def _unfinished(folder: Path, absent: str) -> MedbenchError:
    """The error for a folder without a file that finished runs have: an unfinished run's, or another's."""
    if (folder / RECORD).is_file() or (folder / JOURNAL).is_file():
        message = f"{folder}: holds no {absent}, so it is no finished run."
        return MedbenchError("run.unknown", message, "Repeat the run's command until it finishes.")
    below = next((path.parent for path in sorted(folder.glob(f"*/{RECORD}"))), None)
    below = below or next((path.parent for path in sorted(folder.glob(f"*/*/{RECORD}"))), None)
    hint = _GIVE if below is None else f"A run in it is {below}."
    return MedbenchError("run.unknown", f"{folder}: is no run folder: it holds no {absent}.", hint)


def check_measures(run: Run) -> None:
    """Refuse a run whose record says any value, interval, spread or count otherwise than its cases.

    Raises:
        MedbenchError: ``run.damaged`` naming the first such cell.
    """
    for place, value, again in differing_cells(run.record, list(run.rows.values())):
        raise _damaged(
            f"{run.folder / RECORD}: disagrees with {JOURNAL}: {place} is {again}, the record says {value}."
        )


def _check_seal(folder: Path, must_exist: bool) -> bool:
    """Whether the run has a seal, which is then whole.

    Raises:
        MedbenchError: ``run.damaged`` where the seal does not fit, or is gone although the rows are sealed.
    """
    seal = seal_of(folder / RECORD)
    if not seal.exists():
        if must_exist:
            raise _damaged(f"{seal}: the file with the hashes of the record and its cases is gone.")
        return False
    bad_files = broken_seals(seal, (RECORD, JOURNAL))
    if bad_files:
        raise _damaged(f"{folder / bad_files[0]}: was edited or cut off after medbench wrote {seal.name}.")
    return True


def _damaged(message: str) -> MedbenchError:
    return MedbenchError("run.damaged", message, "Repeat the run's command; it goes on where it stopped.")


def kept_run(folder: Path, rows: Sequence[CaseRow], command: str) -> Finished | None:
    """The finished run in a folder, where it holds these very rows; ``None`` where it does not."""
    try:
        run = read_run(folder)
    except MedbenchError:
        return None
    if list(run.rows.values()) != list(rows):
        return None
    return Finished(run.record, rows, folder, len(rows), command, kept=True)


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a run that this process finished.

    Attributes:
        record: the run record.
        rows: one a case.
        folder: the run directory.
        resumed: cases that an earlier call had finished.
        command: what repeats the run on this machine; the record has it without this machine's paths.
        kept: whether an earlier call had finished everything, so that nothing was done or written.
    """

    record: RunRecord
    rows: Sequence[CaseRow]
    folder: Path
    resumed: int = 0
    command: str = ""
    kept: bool = False

    @property
    def kept_words(self) -> str:
        """How many cases are kept, and since when in this machine's time."""
        moment = datetime.datetime.fromisoformat(self.record.finished).astimezone()
        today = moment.date() == datetime.datetime.now().astimezone().date()
        since = moment.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
        cases = counted_are(self.record.counts.total, "case")
        return f"{self.resumed} of {cases} kept from {since}; nothing to do."

    @property
    def exit_code(self) -> int:
        """0, or 1 when some cases failed or have no prediction."""
        return 0 if self.record.status == "complete" else 1

    def to_pandas(self, of: Rows = "metrics") -> pd.DataFrame:
        """The result as a pandas frame.

        Args:
            of: ``metrics`` for a row a metric with value, interval and denominators; ``cases`` for a row a
                case and metric with value, status and reason.

        Raises:
            MedbenchError: ``package.missing`` without pandas.
        """
        return frame_of(self.record, self.rows, of)

    def _repr_html_(self) -> str:
        """The result table, as notebooks show it."""
        return html_of(self.record)
