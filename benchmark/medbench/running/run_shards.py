"""Shards of a run: every n-th case or batch in a job of its own, merged into the bytes of one run."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.progress import Progress
from medbench.core.result_table import CaseRow
from medbench.io.gate.refusal import Reject
from medbench.io.gate.source import opened
from medbench.records.data_places import find_data_place, note_data_place
from medbench.records.environment import environment
from medbench.records.identity import manifest_sha256
from medbench.records.phases import Timing
from medbench.records.reading import JOURNAL, KEY_LENGTH, Finished
from medbench.records.schema import Environment, ModelRecord
from medbench.records.writing import Provenance, Subject
from medbench.running.data import choose_cases, resolve_data
from medbench.running.evaluation_shards import ShardScores
from medbench.running.journal import write_journal
from medbench.running.prediction_orders import Workers, batch_of, predict_cases
from medbench.running.request import CaseRequest, Request
from medbench.running.run import OpenedRun, RunEnd, finish_run, open_run
from medbench.running.shard import SHARDS, Shard, holds_shard, read_shards, shard_rows, write_shard

_PREDICTIONS = "predictions"
_KEY, _FOLDER = re.compile(r"[0-9a-f]{64}"), re.compile(r"[\w+-][\w.+-]*")
_FACTS = {
    *("challenge", "split", "cases", "manifest_sha256", "folder", "on_board"),
    *("provenance", "time_s", "wall_s"),
}


def predict_shard(request: Request, shard: Shard, workers: Workers, progress: Progress) -> ShardScores:
    """Predict and score the cases of one shard for :func:`merge_run`; a repeated call resumes.

    Cases that share batches stay together, so that every prediction is that of one run to the last bit.

    Raises:
        MedbenchError: as :func:`medbench.running.run.run`.
    """
    begin = open_run(request, progress)
    job, size = begin.job, batch_of(begin.job)
    batches = [job.cases[start : start + size] for start in range(0, len(job.cases), size)]
    cases = [case for batch in shard.part(batches) for case in batch]
    folder = request.runs_root / job.challenge.name / SHARDS / begin.key[:KEY_LENGTH]
    rows, timing = predict_cases(job, cases, folder / shard.name, workers, progress)
    if timing.cases or not holds_shard(folder / shard.file_name):
        own = {"whole": begin.key, "shard": shard.number, "shards": shard.of, "run": _facts(begin, timing)}
        write_shard(folder / shard.file_name, own)
    return ShardScores(folder, rows)


def _facts(begin: OpenedRun, timing: Timing) -> dict[str, Any]:
    """Contents of the merged run's record besides its rows, without paths of this machine."""
    provenance, subject = begin.provenance(), begin.subject
    machine = environment(provenance.device, subject.challenge)
    own = {
        **{entry.name: getattr(provenance, entry.name) for entry in dataclasses.fields(provenance)},
        "model": provenance.model.model_dump(mode="json"),
        "environment": machine.model_dump(mode="json"),
    }
    return {
        "challenge": subject.challenge.name,
        "split": subject.split,
        "cases": begin.request.cases,
        "manifest_sha256": subject.manifest_sha256,
        "folder": begin.folder.parent.name,
        "on_board": begin.whole,
        "provenance": own,
        "time_s": dict(timing.samples),
        "wall_s": timing.wall_s,
    }


def holds_run(folder: Path) -> bool:
    """Whether a folder holds shards of a run."""
    return any(folder.glob(f"*-of-*/{JOURNAL}"))


def merge_run(folders: Sequence[Path], places: Mapping[str, Path | None], progress: Progress) -> Finished:
    """The run whose shards lie in some folders, with predictions, record, report and board row.

    Neither the network nor its device is needed.

    Args:
        folders: of the shards; one that several shards share is named once.
        places: ``data``, where they lie elsewhere than the shards found them; ``runs`` and ``leaderboards``.
        progress: told of the steps.

    Raises:
        MedbenchError: as :func:`medbench.running.shard.read_shards`; ``shard.damaged`` or
            ``shard.other_files``; ``data.missing`` where the data are not there.
    """
    shards = read_shards(folders, "medbench run")
    facts, key = _checked(*shards[0])
    data = places.get("data") or find_data_place(key)
    request = CaseRequest(
        challenge=facts["challenge"],
        data=data,
        split=facts["split"],
        cases=facts["cases"],
        seed=facts["provenance"]["seed"],
        runs=places.get("runs"),
        leaderboards=places.get("leaderboards"),
    )
    subject = _subject(request, facts, progress)
    note_data_place(key, data=subject.data.root)
    folder = request.runs_root / subject.challenge.name / facts["folder"] / key[:KEY_LENGTH]

    def gathered() -> tuple[list[CaseRow], Timing]:
        rows = _collected([path for path, _ in shards], folder)
        absent = [case.id for case in subject.cases if case.id not in rows]
        if absent or len(rows) != len(subject.cases):
            names = absent or sorted(set(rows) - {case.id for case in subject.cases})
            raise MedbenchError(
                "shard.other_files", f"{names[0]}: is not in both shards and data.", "Do all shards again."
            )
        in_order = [rows[case.id] for case in subject.cases]
        write_journal(folder, in_order)
        return in_order, _timing([shard["run"] for _, shard in shards], len(in_order))

    provenance = _provenance(facts["provenance"])
    end = RunEnd(request, subject, folder, facts["on_board"], provenance.command, lambda: provenance)
    return finish_run(end, gathered, progress)


def _checked(path: Path, shard: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Contents of the merged record, and the run's key: a folder below the runs, wherever the shard is from.

    Raises:
        MedbenchError: ``shard.damaged``.
    """
    facts: dict[str, Any] = shard.get("run") or {}
    key = str(shard["whole"])
    complete = isinstance(facts, dict) and facts.keys() >= _FACTS
    if not (complete and _KEY.fullmatch(key) and _FOLDER.fullmatch(str(facts["folder"]))):
        raise MedbenchError("shard.damaged", f"{path}: is no file of a run's shard.", "Do its shard again.")
    return facts, key


def _subject(request: CaseRequest, facts: Mapping[str, Any], progress: Progress) -> Subject:
    """The cases of the whole run.

    Raises:
        MedbenchError: ``shard.other_files`` where the data are not those that the shards saw.
    """
    challenge = request.load_challenge()
    data = resolve_data(challenge, request.data, progress)
    cases = choose_cases(challenge.cases(data.root, facts["split"]), request.cases)
    manifest = manifest_sha256(data.root, cases)
    if manifest != facts["manifest_sha256"]:
        raise MedbenchError(
            "shard.other_files",
            f"{data.root}: holds other files than those that the shards predicted.",
            "Say where those lie with --data.",
        )
    return Subject(challenge, data, facts["split"], cases, manifest)


def _collected(shards: Sequence[Path], folder: Path) -> dict[str, CaseRow]:
    """The rows of all shards, whose predictions are brought into the run directory.

    Raises:
        MedbenchError: ``shard.damaged`` for rows or predictions that are gone or were changed.
    """
    rows: dict[str, CaseRow] = {}
    for shard in shards:
        own = shard.with_suffix("")
        for row in shard_rows(own / JOURNAL):
            for name, digest in row.predictions.items():
                _take(own / _PREDICTIONS, name, digest, folder / _PREDICTIONS)
            rows[row.case] = row
    return rows


def _take(source: Path, name: str, digest: str, target: Path) -> None:
    """Copy a prediction of a shard, which neither leaves its folder nor differs from what the shard wrote.

    Raises:
        MedbenchError: ``shard.damaged``.
    """
    path = source / name
    damage = MedbenchError(
        "shard.damaged", f"{path}: is not the file that its shard wrote.", "Do its shard again."
    )
    try:
        with opened(path, source, "prediction") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise damage
            stream.seek(0)
            with atomic_path(target / name) as temporary, temporary.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
    except Reject as reject:
        raise damage from reject


def _timing(shards: Sequence[Mapping[str, Any]], cases: int) -> Timing:
    """Times of all shards by phase; from the first case to the last that of the slowest shard."""
    timing = Timing()
    timing.cases = cases
    for shard in shards:
        timing.add_samples(shard["time_s"])
        timing.wall_s = max(timing.wall_s, shard["wall_s"])
    return timing


def _provenance(facts: Mapping[str, Any]) -> Provenance:
    own = {
        **facts,
        "model": ModelRecord.model_validate(facts["model"]),
        "environment": Environment.model_validate(facts["environment"]),
    }
    return Provenance(**own)
