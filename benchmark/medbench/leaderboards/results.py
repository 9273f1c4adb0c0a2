"""A challenge's measured rows on disk and the pages made of them."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json_lines, write_json_lines, write_text
from medbench.leaderboards.boards import Board, make_board
from medbench.leaderboards.costs import with_costs
from medbench.leaderboards.rendering import FORMATS
from medbench.profiling.records import read_profiles
from medbench.records.schema import RunRecord

RESULTS = "results.jsonl"


def add_result(leaderboards: Path, record: RunRecord) -> None:
    """Add a run to its challenge's rows (the same run replaces its own row) and write the pages anew."""
    folder = leaderboards / record.challenge.name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = [row for row in read_json_lines(folder / RESULTS) if row["key"] != record.key]
        rows.append(_row(record))
        rows.sort(key=lambda row: (row["data"], row["split"], row["model"], row["key"]))
        write_json_lines(folder / RESULTS, rows)
        board = make_board(load_challenge(record.challenge.name), rows)
        _write_pages(folder, with_costs(board, rows, read_profiles(leaderboards)))


def read_results(leaderboards: Path, challenge: str) -> list[dict[str, Any]]:
    """The rows of a challenge's leaderboard."""
    return read_json_lines(leaderboards / challenge / RESULTS)


def load_board(leaderboards: Path, challenge: str) -> Board:
    """A challenge's leaderboard with its published numbers.

    Raises:
        MedbenchError: ``challenge.unknown``; ``leaderboard.damaged`` naming the file and the line;
            ``leaderboard.empty`` when there is neither a measured nor a published number.
    """
    loaded = load_challenge(challenge)
    path = leaderboards / challenge / RESULTS
    try:
        rows = read_results(leaderboards, challenge)
        board = with_costs(make_board(loaded, rows), rows, read_profiles(leaderboards))
    except (ValueError, KeyError, TypeError) as error:
        raise MedbenchError(
            "leaderboard.damaged",
            f"{path}: holds a row that cannot be read ({type(error).__name__}: {error}).",
            "Restore it from version control, or remove that line.",
        ) from error
    if not board.tables:
        raise MedbenchError(
            "leaderboard.empty",
            f"{path}: there are no results of {loaded.title} yet.",
            f"Run one first: medbench run -m MODEL -c {challenge}.",
        )
    return board


def build_board(leaderboards: Path, challenge: str) -> list[Path]:
    """Write a challenge's pages (Markdown, HTML, LaTeX, CSV) anew from its rows; the paths written.

    Raises:
        MedbenchError: as :func:`load_board`.
    """
    return _write_pages(leaderboards / challenge, load_board(leaderboards, challenge))


def measured_challenges(leaderboards: Path) -> list[str]:
    """Names of the challenges that have rows."""
    return sorted(path.parent.name for path in leaderboards.glob(f"*/{RESULTS}"))


def _write_pages(folder: Path, board: Board) -> list[Path]:
    written = []
    for name, render in FORMATS.values():
        write_text(folder / name, render(board))
        written.append(folder / name)
    return written


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
