"""Results of a challenge on disk, and the pages of its board."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_file, write_text
from medbench.core.seals import Line, read_table, seal_of, sealed_line, write_table
from medbench.core.text import printable
from medbench.leaderboards.baseline import with_differences
from medbench.leaderboards.boards import Board, make_board
from medbench.leaderboards.case_figures import BoardEvidence
from medbench.leaderboards.costs import with_costs
from medbench.leaderboards.index_page import INDEX, Damaged, index_html, put_into_index
from medbench.leaderboards.rendering import FORMATS
from medbench.leaderboards.rows import RECORD_SHA256, row_of
from medbench.leaderboards.unknown_challenges import board_of_records
from medbench.profiling.records import read_profiles
from medbench.records.reading import EVIDENCE, JOURNAL, KEY_LENGTH, RECORD, Run, read_run
from medbench.records.schema import RunRecord

RESULTS = "results.jsonl"
_KEY = re.compile(r"[\w-]+")
_SORTED_BY = ("data", "split", "model", "key")
SEALED = "sealed"


def add_result(leaderboards: Path, record: RunRecord, folder: Path) -> None:
    """Add a run to its challenge's rows (the same run replaces its own row) and write the pages anew.

    The run's record and cases are kept beside the row as its evidence.

    Args:
        leaderboards: folder of the leaderboards.
        record: of the run.
        folder: run directory.

    Raises:
        MedbenchError: ``leaderboard.damaged``; the rows are then left as they are.
    """
    challenge = record.challenge.name
    with changed_rows(leaderboards, challenge) as lines:
        evidence = evidence_folder(leaderboards, challenge, record.key)
        keep_evidence(folder, evidence)
        row = row_of(record, evidence)
        lines[record.key] = Line(0, sealed_line(row), row, "sealed")


@contextlib.contextmanager
def changed_rows(leaderboards: Path, challenge: str) -> Iterator[dict[str, Line]]:
    """The rows of a challenge by key, to be changed; then rows, pages and index are written, by none else.

    Raises:
        MedbenchError: ``challenge.unknown`` or ``leaderboard.damaged``; the rows are then left as they are.
    """
    load_challenge(challenge)
    folder = leaderboards / challenge
    path = folder / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        lines = {line.row["key"]: line for line in read_lines_of_rows(path)}
        yield lines
        in_order = sorted(lines.values(), key=_place)
        write_table(path, [line.text for line in in_order])
        board = board_of_lines(leaderboards, challenge, in_order)
        _write_pages(folder, board)
        with _locked(leaderboards):
            if not put_into_index(leaderboards / INDEX, board, measured_challenges(leaderboards)):
                write_text(leaderboards / INDEX, index_of(leaderboards))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from writing into a folder as long as the block runs; one that is not there has nobody."""
    from filelock import FileLock

    with FileLock(folder / ".lock") if folder.is_dir() else contextlib.nullcontext():
        yield


def evidence_folder(leaderboards: Path, challenge: str, key: str) -> Path:
    """Where the record and the cases of a row lie."""
    return leaderboards / challenge / EVIDENCE / key[:KEY_LENGTH]


def keep_evidence(folder: Path, evidence: Path) -> None:
    """Copy a run's record, cases and seal; files that are there already with the same bytes are left."""
    for name in (JOURNAL, RECORD, seal_of(Path(RECORD)).name):
        source, target = folder / name, evidence / name
        if source.is_file() and not (target.is_file() and sha256_file(source) == sha256_file(target)):
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)


def read_results(leaderboards: Path, challenge: str) -> list[dict[str, Any]]:
    """The rows of a challenge's leaderboard; ``sealed`` says whether a row carries its hash.

    Raises:
        MedbenchError: ``leaderboard.damaged`` naming the file and the line.
    """
    return list(map(_marked, read_lines_of_rows(leaderboards / challenge / RESULTS)))


def load_board(leaderboards: Path, challenge: str, runs: Path | None = None) -> Board:
    """A challenge's leaderboard with its published numbers.

    Args:
        leaderboards: folder of the leaderboards.
        challenge: its name.
        runs: folder of run directories: a run that lies there must say what its row says.

    Raises:
        MedbenchError: ``challenge.unknown``; ``leaderboard.damaged`` naming the file and the line;
            ``leaderboard.disagrees`` or ``run.damaged`` for evidence or a run that says otherwise than its
            row or its cases; ``leaderboard.empty`` when there is neither a measured nor a published number.
    """
    title = load_challenge(challenge).title
    path = leaderboards / challenge / RESULTS
    lines = read_lines_of_rows(path)
    remaining = {str(line.row["key"]): line for line in lines}

    def checked(row: Mapping[str, Any]) -> Run | None:
        line = remaining.pop(str(row["key"]), None)
        return None if line is None else check_against_runs(path, line, runs)

    board = board_of_lines(leaderboards, challenge, lines, checked)
    for line in list(remaining.values()):
        check_against_runs(path, line, runs)
    if not board.tables:
        raise MedbenchError(
            "leaderboard.empty",
            f"{path}: there are no results of {title} yet.",
            f"Run one first: medbench run -m MODEL -c {challenge}.",
        )
    return board


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the search for cycles while runs are read and drawn: they have none."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def build_board(leaderboards: Path, challenge: str, runs: Path | None = None) -> list[Path]:
    """Write a challenge's pages (Markdown, HTML, LaTeX, CSV) anew from its rows; the paths written.

    Raises:
        MedbenchError: as :func:`load_board`.
    """
    folder = leaderboards / challenge
    if (folder / RESULTS).is_file() and not is_known(challenge):
        raise MedbenchError(
            "challenge.unknown",
            f"{folder}: its challenge is not known here, so its pages stay as they are.",
            "Load its plug-in: medbench --plugin FILE leaderboard build.",
        )
    with _locked(folder), _no_collection():
        return _write_pages(folder, load_board(leaderboards, challenge, runs))


def read_lines_of_rows(path: Path) -> list[Line]:
    """The rows of a leaderboard as they stand in the file.

    Raises:
        MedbenchError: ``leaderboard.damaged``.
    """
    lines = read_table(path, "leaderboard.damaged")
    for line in lines:
        try:
            _check_row(line.row)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, line, error) from error
    return lines


def _check_row(row: Mapping[str, Any]) -> None:
    """Refuse a row without what every leaderboard's row has.

    Raises:
        KeyError: for an entry that is not there.
        TypeError: for one of another type.
    """
    for name in (*_SORTED_BY, "title"):
        if not isinstance(row[name], str):
            raise TypeError(f"its {name} is no text")
    if not _KEY.fullmatch(row["key"]):
        raise TypeError("its key is none")
    for name, metric in row["metrics"].items():
        value = metric["value"]
        if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
            raise TypeError(f"its {printable(name)} is no number")


def _place(line: Line) -> tuple[str, ...]:
    return tuple(line.row[name] for name in _SORTED_BY)


def _marked(line: Line) -> dict[str, Any]:
    return {**line.row, SEALED: line.state == "sealed"}


def board_of_lines(
    leaderboards: Path,
    challenge: str,
    lines: list[Line],
    read: Callable[[Mapping[str, Any]], Run | None] | None = None,
) -> Board:
    """The board of a challenge's rows as they stand in the file, with the costs of their models.

    Args:
        leaderboards: folder of the leaderboards.
        challenge: its name.
        lines: of the file.
        read: the run of a row; read from the row's evidence, if that is whole, if not given.

    Raises:
        MedbenchError: ``leaderboard.damaged`` for a line that is no row; whatever ``read`` raises.
    """
    subject, rows = load_challenge(challenge), list(map(_marked, lines))
    for line, row in zip(lines, rows, strict=True):
        try:
            make_board(subject, [row])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(leaderboards / challenge / RESULTS, line, error) from error
    results = with_differences(rows, read or partial(run_of_row, leaderboards, challenge), subject)
    evidence = BoardEvidence(leaderboards / challenge / EVIDENCE)
    keys = [str(row["key"]) for row in rows]
    times = {key: time for key in keys if (time := evidence.time(key)) is not None}
    board = with_costs(make_board(subject, results), rows, read_profiles(leaderboards), times)
    return dataclasses.replace(board, evidence=evidence.folder)


def _damaged(path: Path, line: Line, error: Exception) -> MedbenchError:
    return MedbenchError(
        "leaderboard.damaged",
        f"{path}, line {line.number}: is no row of a leaderboard ({type(error).__name__}: {error}).",
        "Restore it from version control, or remove that line.",
    )


def run_of_row(leaderboards: Path, challenge: str, row: Mapping[str, Any]) -> Run | None:
    """The run of a row from its evidence; ``None`` where that is not there or not whole."""
    try:
        return read_run(evidence_folder(leaderboards, challenge, str(row["key"])))
    except MedbenchError:
        return None


def check_against_runs(path: Path, line: Line, runs: Path | None) -> Run | None:
    """Compare a row with its evidence, and with the run that it was made of where that lies in ``runs``.

    Returns:
        The run of the evidence; ``None`` where there is none.

    Raises:
        MedbenchError: ``leaderboard.disagrees``, or as :func:`medbench.records.reading.read_run`.
    """
    challenge, key = path.parent.name, str(line.row["key"])
    if not key.isalnum():
        return None
    own_run: Run | None = None
    evidence = evidence_folder(path.parents[1], challenge, key) / RECORD
    copies = [evidence] if evidence.exists() else []
    for record in (
        *copies,
        *(sorted(runs.glob(f"{challenge}/*/{key[:KEY_LENGTH]}/{RECORD}")) if runs else ()),
    ):
        run = read_run(record.parent)
        own_run = run if record == evidence else own_run
        own = row_of(run.record, record.parent)
        differing = _first_difference(line.row, own, () if record == evidence else _FREE)
        if run.record.key == key and differing:
            raise MedbenchError(
                "leaderboard.disagrees",
                f"{path}, line {line.number}: differs in {differing} from {record}.",
                "Repeat the run's command; it writes record and row anew.",
            )
    return own_run


_FREE = ("finished", "git_commit", "git_dirty", "command", "medbench", RECORD_SHA256)
"""When and by which checkout a run ran: a repeated run may say otherwise than its row."""


def _first_difference(row: Mapping[str, Any], own: Mapping[str, Any], free: Sequence[str]) -> str:
    """The first entry of a row that its run says otherwise."""
    return next((name for name in row if name in own and name not in free and row[name] != own[name]), "")


def measured_challenges(leaderboards: Path) -> list[str]:
    """Names of the challenges with results."""
    return sorted(path.parent.name for path in leaderboards.glob(f"*/{RESULTS}"))


def require_measured(leaderboards: Path) -> list[str]:
    """As :func:`measured_challenges`, of which there must be one.

    Raises:
        MedbenchError: ``leaderboard.empty``.
    """
    names = measured_challenges(leaderboards)
    if not names:
        raise MedbenchError(
            "leaderboard.empty",
            f"{leaderboards}: holds no results.",
            "Run a model first, or name a challenge.",
        )
    return names


def index_of(leaderboards: Path) -> str:
    """The index of the boards in a folder, as one HTML file."""
    return index_html(boards_of_index(leaderboards))


def boards_of_index(leaderboards: Path) -> list[Board | Damaged]:
    """The boards in a folder; of challenges that are not known here, what their records tell."""
    boards: list[Board | Damaged] = []
    for name in measured_challenges(leaderboards):
        path = leaderboards / name / RESULTS
        try:
            lines = read_lines_of_rows(path)
            if is_known(name):
                boards.append(board_of_lines(leaderboards, name, lines))
            else:
                boards.append(board_of_records(path.parent, list(map(_marked, lines))))
        except MedbenchError as error:
            boards.append(Damaged(name, path, error))
    return boards


def is_known(challenge: str) -> bool:
    """Whether a challenge is known here; one of a plug-in that is not loaded is not."""
    try:
        load_challenge(challenge)
    except MedbenchError:
        return False
    return True


def write_index(leaderboards: Path) -> tuple[Path, list[Damaged]]:
    """Write the index of the boards in a folder; its path, and the boards that it lists as damaged."""
    path = leaderboards / INDEX
    with _locked(leaderboards):
        boards = boards_of_index(leaderboards)
        write_text(path, index_html(boards))
    return path, [board for board in boards if isinstance(board, Damaged)]


def _write_pages(folder: Path, board: Board) -> list[Path]:
    paths = []
    for name, render in FORMATS.values():
        write_text(folder / name, render(board))
        paths.append(folder / name)
    return paths
