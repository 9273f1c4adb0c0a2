"""Results of a challenge on disk, and the pages of its board."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file, write_text
from medbench.core.seals import Line, read_table, sealed_line, write_table
from medbench.core.text import printable
from medbench.leaderboards.boards import Board, make_board
from medbench.leaderboards.costs import with_costs
from medbench.leaderboards.rendering import FORMATS
from medbench.profiling.records import read_profiles
from medbench.records.reading import JOURNAL, RECORD, read_run
from medbench.records.schema import RunRecord

RESULTS = "results.jsonl"
_SORTED_BY = ("data", "split", "model", "key")
SEALED, CASES_SHA256 = "sealed", "cases_sha256"


def add_result(leaderboards: Path, record: RunRecord, cases_sha256: str) -> None:
    """Add a run to its challenge's rows (the same run replaces its own row) and write the pages anew.

    Args:
        leaderboards: folder of the leaderboards.
        record: of the run.
        cases_sha256: SHA-256 of the run's rows on disk, so that the leaderboard's row is of these very cases.

    Raises:
        MedbenchError: ``leaderboard.damaged``; the rows are then left as they are.
    """
    from filelock import FileLock

    folder = leaderboards / record.challenge.name
    path = folder / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        lines = {line.row["key"]: line for line in _lines(path)}
        row = {**_row(record), CASES_SHA256: cases_sha256}
        lines[record.key] = Line(0, sealed_line(row), row, "sealed")
        ordered = sorted(lines.values(), key=_place)
        write_table(path, [line.text for line in ordered])
        _write_pages(folder, _board(leaderboards, record.challenge.name, ordered))


def read_results(leaderboards: Path, challenge: str) -> list[dict[str, Any]]:
    """The rows of a challenge's leaderboard; ``sealed`` says whether a row carries its hash.

    Raises:
        MedbenchError: ``leaderboard.damaged`` naming the file and the line.
    """
    return list(map(_marked, _lines(leaderboards / challenge / RESULTS)))


def load_board(leaderboards: Path, challenge: str, runs: Path | None = None) -> Board:
    """A challenge's leaderboard with its published numbers.

    Args:
        leaderboards: folder of the leaderboards.
        challenge: its name.
        runs: folder of run directories: a run that lies there must say what its row says.

    Raises:
        MedbenchError: ``challenge.unknown``; ``leaderboard.damaged`` naming the file and the line;
            ``leaderboard.disagrees`` or ``run.damaged`` for a run that says otherwise than its row or its
            cases; ``leaderboard.empty`` when there is neither a measured nor a published number.
    """
    title = load_challenge(challenge).title
    path = leaderboards / challenge / RESULTS
    lines = _lines(path)
    for line in lines if runs else ():
        _check_against_run(path, line, Path(str(runs)))
    board = _board(leaderboards, challenge, lines)
    if not board.tables:
        raise MedbenchError(
            "leaderboard.empty",
            f"{path}: there are no results of {title} yet.",
            f"Run one first: medbench run -m MODEL -c {challenge}.",
        )
    return board


def build_board(leaderboards: Path, challenge: str, runs: Path | None = None) -> list[Path]:
    """Write a challenge's pages (Markdown, HTML, LaTeX, CSV) anew from its rows; the paths written.

    Raises:
        MedbenchError: as :func:`load_board`.
    """
    return _write_pages(leaderboards / challenge, load_board(leaderboards, challenge, runs))


def _lines(path: Path) -> list[Line]:
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
    for name, metric in row["metrics"].items():
        value = metric["value"]
        if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
            raise TypeError(f"its {printable(name)} is no number")


def _place(line: Line) -> tuple[str, ...]:
    return tuple(line.row[name] for name in _SORTED_BY)


def _marked(line: Line) -> dict[str, Any]:
    return {**line.row, SEALED: line.state == "sealed"}


def _board(leaderboards: Path, challenge: str, lines: list[Line]) -> Board:
    subject, rows = load_challenge(challenge), list(map(_marked, lines))
    for line, row in zip(lines, rows, strict=True):
        try:
            make_board(subject, [row])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(leaderboards / challenge / RESULTS, line, error) from error
    return with_costs(make_board(subject, rows), rows, read_profiles(leaderboards))


def _damaged(path: Path, line: Line, error: Exception) -> MedbenchError:
    return MedbenchError(
        "leaderboard.damaged",
        f"{path}, line {line.number}: is no row of a leaderboard ({type(error).__name__}: {error}).",
        "Restore it from version control, or remove that line.",
    )


def _check_against_run(path: Path, line: Line, runs: Path) -> None:
    """Compare a row with the run that it was made of, where that lies in ``runs``.

    Raises:
        MedbenchError: ``leaderboard.disagrees``, or as :func:`medbench.records.reading.read_run`.
    """
    challenge, key = path.parent.name, str(line.row["key"])
    for record in sorted(runs.glob(f"{challenge}/*/{key[:16]}/{RECORD}")) if key.isalnum() else ():
        run = read_run(record.parent)
        own = {**_row(run.record), CASES_SHA256: sha256_file(record.with_name(JOURNAL))}
        differing = _first_difference(line.row, own)
        if run.record.key == key and differing:
            raise MedbenchError(
                "leaderboard.disagrees",
                f"{path}, line {line.number}: says another {differing} than {record}.",
                "Repeat the run's command; it writes record and row anew.",
            )


def _first_difference(row: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The first entry of a row that its run says otherwise, save of when and by which checkout it ran."""
    free = ("finished", "git_commit", "git_dirty", "command", "medbench")
    return next((name for name in row if name in own and name not in free and row[name] != own[name]), "")


def measured_challenges(leaderboards: Path) -> list[str]:
    """Names of the challenges with results."""
    return sorted(path.parent.name for path in leaderboards.glob(f"*/{RESULTS}"))


def _write_pages(folder: Path, board: Board) -> list[Path]:
    paths = []
    for name, render in FORMATS.values():
        write_text(folder / name, render(board))
        paths.append(folder / name)
    return paths


def _row(record: RunRecord) -> dict[str, Any]:
    return {
        "key": record.key,
        "data": record.data,
        "sample_version": record.challenge.sample_version,
        "split": record.challenge.split,
        "split_rule": record.challenge.split_rule,
        "split_sha256": record.challenge.split_sha256,
        "subset": record.challenge.subset,
        "present_cases": record.challenge.present_cases,
        "released_cases": record.challenge.released_cases,
        "manifest_sha256": record.challenge.manifest_sha256,
        "model": record.model.name,
        "title": record.model.title,
        "options": record.model.options,
        "parameters": record.model.parameters,
        "weights": record.model.weights,
        "weights_sha256": record.model.weights_sha256,
        "recipe": (record.model.training or {}).get("recipe", {}).get("name"),
        "mark": record.settings.get("mark", ""),
        "reference_row": record.settings.get("reference_row", False),
        "counts": record.counts.model_dump(),
        "metrics": {
            name: {
                "value": metric.value,
                "ci95": [metric.ci95_low, metric.ci95_high],
                "convention": metric.convention,
                "counts": [metric.scored, metric.failed, metric.missing, metric.undefined],
            }
            for name, metric in record.metrics.items()
        },
        "medbench": record.environment.medbench,
        "code_sha256": record.environment.code_sha256,
        "git_commit": record.environment.git_commit,
        "git_dirty": record.environment.git_dirty,
        "finished": record.finished,
        "command": record.command,
    }
