"""A challenge's measured rows on disk and the table made of them."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.files import read_json_lines, write_json_lines, write_text
from medbench.core.record import RunRecord
from medbench.leaderboards.tables import board_markdown

RESULTS = "results.jsonl"
PAGE = "README.md"


def add_result(leaderboards: Path, record: RunRecord) -> None:
    """Add a run to its challenge's rows (the same run replaces its own row) and write the table anew."""
    folder = leaderboards / record.challenge.name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = [row for row in read_json_lines(folder / RESULTS) if row["key"] != record.key]
        rows.append(_row(record))
        rows.sort(key=lambda row: (row["data"], row["split"], row["model"], row["key"]))
        write_json_lines(folder / RESULTS, rows)
        write_text(folder / PAGE, board_markdown(load_challenge(record.challenge.name), rows))


def read_results(leaderboards: Path, challenge: str) -> list[dict[str, Any]]:
    """The rows of a challenge's leaderboard."""
    return read_json_lines(leaderboards / challenge / RESULTS)


def _row(record: RunRecord) -> dict[str, Any]:
    return {
        "key": record.key,
        "data": record.data,
        "sample_version": record.challenge.sample_version,
        "split": record.challenge.split,
        "manifest_sha256": record.challenge.manifest_sha256,
        "model": record.model.name,
        "title": record.model.title,
        "options": record.model.options,
        "parameters": record.model.parameters,
        "weights": record.model.weights,
        "weights_sha256": record.model.weights_sha256,
        "recipe": (record.model.training or {}).get("recipe", {}).get("name"),
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
