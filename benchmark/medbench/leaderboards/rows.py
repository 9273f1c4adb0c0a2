"""Rows of a leaderboard: what a record says, in one flat object, with the hashes of its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.core.files import sha256_file
from medbench.records.reading import JOURNAL, RECORD
from medbench.records.schema import MetricRecord, RunRecord, SubgroupRecord
from medbench.records.writing import NOTES

RECORD_SHA256, CASES_SHA256 = "record_sha256", "cases_sha256"
_MARKS = ("mark", "reference_row", NOTES)


def row_of(record: RunRecord, folder: Path) -> dict[str, Any]:
    """The row of a run.

    Args:
        record: of the run.
        folder: holds ``record.json`` and ``cases.jsonl``, whose hashes the row carries.
    """
    challenge, model, environment = record.challenge, record.model, record.environment
    training = model.training or {}
    return {
        "key": record.key,
        "data": record.data,
        "sample_version": challenge.sample_version,
        "split": challenge.split,
        "split_rule": challenge.split_rule,
        "split_sha256": challenge.split_sha256,
        "subset": challenge.subset,
        "present_cases": challenge.present_cases,
        "released_cases": challenge.released_cases,
        "manifest_sha256": challenge.manifest_sha256,
        "groups": challenge.groups,
        "model": model.name,
        "title": model.title,
        "options": model.options,
        "parameters": model.parameters,
        "weights": model.weights,
        "weights_sha256": model.weights_sha256,
        "untrained_parts": model.untrained_parts,
        "recipe": (training.get("recipe") or {}).get("name"),
        "recipe_changes": training.get("changes"),
        "training_hardware": training.get("hardware"),
        "training_seed": training.get("seed"),
        "training_split": training.get("split"),
        "seed": record.seed,
        "settings": {name: value for name, value in record.settings.items() if name not in _MARKS},
        "training": _training(model.training),
        "mark": record.settings.get("mark", ""),
        "reference_row": record.settings.get("reference_row", False),
        "counts": record.counts.model_dump(),
        "metrics": {name: _cell(metric) for name, metric in record.metrics.items()},
        "subgroups": {
            column: {
                name: {metric: _group_cell(own) for metric, own in metrics.items()}
                for name, metrics in names.items()
            }
            for column, names in record.subgroups.items()
        },
        "medbench": environment.medbench,
        "code_sha256": environment.code_sha256,
        "scoring_sha256": environment.scoring_sha256,
        "git_commit": environment.git_commit,
        "git_dirty": environment.git_dirty,
        "finished": record.finished,
        "command": record.command,
        "training_command": training.get("command"),
        RECORD_SHA256: sha256_file(folder / RECORD),
        CASES_SHA256: sha256_file(folder / JOURNAL),
    }


def _cell(metric: MetricRecord) -> dict[str, Any]:
    return {
        "value": metric.value,
        "ci95": [metric.ci95_low, metric.ci95_high],
        "ci95_method": metric.ci95_method,
        "groups": metric.groups,
        "convention": metric.convention,
        "counts": [metric.scored, metric.failed, metric.missing, metric.undefined],
        "spread": metric.spread.model_dump() if metric.spread else None,
    }


def _group_cell(own: SubgroupRecord) -> dict[str, Any]:
    return {
        "value": own.value,
        "ci95": [own.ci95_low, own.ci95_high],
        "ci95_method": own.ci95_method,
        "groups": own.groups,
        "counts": [own.scored, own.failed, own.missing, own.undefined],
    }


def _training(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Facts of the training in a row: the whole recipe with its changes, start, command and CPU minutes."""
    if not facts:
        return None
    names = ("recipe", "recipe_changes", "start", "train_command", "parents", "cpu_minutes")
    return {name: facts[name] for name in names if name in facts} or None
