"""Shards of an evaluation: every n-th case in a job of its own, merged into the very rows of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file, sha256_json
from medbench.core.progress import Progress
from medbench.core.result_table import CaseRow
from medbench.io.gate.listing import visible_paths
from medbench.records.data_places import find_data_place, note_data_place
from medbench.records.identity import code_sha256, plugin_settings
from medbench.records.phases import Timing
from medbench.records.reading import JOURNAL, KEY_LENGTH, Finished
from medbench.running.evaluate import Evaluation, Opened, evaluate_request, opened_subject, places_of, scoring
from medbench.running.journal import write_journal
from medbench.running.shard import SHARDS, Shard, read_shards, shard_rows, write_shard


@dataclass(frozen=True, slots=True)
class ShardScores:
    """Rows of a shard and the folder that holds them."""

    folder: Path
    rows: Sequence[CaseRow]


def score_shard(
    request: Evaluation, shard: Shard, workers: int | Executor, progress: Progress
) -> ShardScores:
    """Score the cases of one shard and keep their rows for :func:`merge_evaluation`.

    Raises:
        MedbenchError: as :func:`medbench.running.evaluate.evaluate`.
    """
    with opened_subject(request, progress) as (subject, predictions):
        entries = {
            "challenge": request.challenge,
            "split": subject.split,
            "name": request.title,
            "rename": list(request.rename) if request.rename else None,
            "cases": request.cases,
            "seed": request.seed,
        }
        settings = {**entries, "manifest_sha256": subject.manifest_sha256, "code": code_sha256()}
        whole = sha256_json({**settings, **plugin_settings()})
        folder = request.runs_root / subject.challenge.name / SHARDS / whole[:KEY_LENGTH]
        own = folder / f".{shard.number}"
        places = places_of(request, subject, predictions)
        part = Opened(subject.challenge, shard.part(subject.cases), predictions, own, places, progress)
        rows, _ = scoring(request, workers)(part)
        (own / JOURNAL).replace(_rows_file(folder / shard.file_name))
        own.rmdir()
    note_data_place(whole, data=subject.data.root, predictions=request.predictions)
    entry = {"whole": whole, "shard": shard.number, "shards": shard.of, "asked": entries}
    write_shard(folder / shard.file_name, entry)
    return ShardScores(folder, rows)


def _rows_file(shard: Path) -> Path:
    return shard.with_suffix(".jsonl")


def holds_evaluation(folder: Path) -> bool:
    """Whether a folder holds shards of an evaluation."""
    return bool(visible_paths(folder, "*-of-*.jsonl"))


def merge_evaluation(
    folders: Sequence[Path], places: Mapping[str, Path | None], progress: Progress
) -> Finished:
    """The evaluation whose shards lie in some folders, with record, report and board row.

    Args:
        folders: of the shards; one that several shards share is named once.
        places: ``data`` and ``predictions``, where they lie elsewhere than the shards found them;
            ``runs`` and ``leaderboards``.
        progress: told of the steps.

    Raises:
        MedbenchError: as :func:`medbench.running.shard.check_complete`; ``shard.none``, ``shard.damaged``,
            ``shard.other_files``; ``data.missing`` where nobody knows where the files lie.
    """
    shards = read_shards(folders, "medbench evaluate")
    request = _request(shards[0][1], folders[0], places)
    rows = {row.case: row for path, _ in shards for row in shard_rows(_rows_file(path))}

    def gather(part: Opened) -> tuple[list[CaseRow], Timing]:
        in_order = [_intact(rows.get(case.id), case.id, part.predictions) for case in part.cases]
        write_journal(part.folder, in_order)
        timing = Timing()
        timing.cases = len(in_order)
        return in_order, timing

    return evaluate_request(request, gather, progress)


def _request(shard: Mapping[str, Any], folder: Path, places_now: Mapping[str, Path | None]) -> Evaluation:
    """The evaluation that a shard is of, on the files where they lie now."""
    places: dict[str, Any] = {}
    for name in ("data", "predictions"):
        place = places_now.get(name) or find_data_place(shard["whole"], name)
        if place is None:
            raise MedbenchError(
                "data.missing",
                f"{folder}: the folder of the shards' {name} is not known on this machine.",
                f"Give the folder with --{name}.",
            )
        places[name] = place
    entries = dict(shard["asked"])
    rename = entries.pop("rename")
    return Evaluation(
        **entries,
        **places,
        rename=(rename[0], rename[1]) if rename else None,
        runs=places_now.get("runs"),
        leaderboards=places_now.get("leaderboards"),
    )


def _intact(row: CaseRow | None, case: str, predictions: Path) -> CaseRow:
    """A row of a shard whose predictions are still the same files."""
    if row is None:
        raise MedbenchError("shard.other_files", f"{case}: is in no shard.", "Score all shards again.")
    for name, digest in row.predictions.items():
        path = predictions / name
        if not path.is_file() or sha256_file(path) != digest:
            raise MedbenchError(
                "shard.other_files",
                f"{path}: is not the file that its shard scored.",
                "Score all shards again.",
            )
    return row
