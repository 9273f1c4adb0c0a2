"""Ensembles: the networks of several runs answer together, as a run of its own with its parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.core.places import Places, command_line
from medbench.core.progress import Progress, SilentProgress
from medbench.core.task import titles
from medbench.inference.voting import RULES, EnsemblePredictor, EnsembleSample
from medbench.models.devices import present_device
from medbench.records.identity import code_sha256, manifest_sha256, plugin_settings
from medbench.records.phases import keep_phases
from medbench.records.reading import KEY_LENGTH, Finished, Run, find_run
from medbench.records.schema import ModelRecord
from medbench.records.writing import Provenance, Subject, make_record, now
from medbench.running.finishing import store
from medbench.running.job import Job, resolve
from medbench.running.journal import UNFINISHED
from medbench.running.loop import predict_and_score
from medbench.running.references import add_references
from medbench.running.request import NONE, Inference, Request
from medbench.running.start import weights_of_run

NAME = "ensemble"
RULE = "majority vote on label maps, means of probabilities, scores and points"
_SAME = ("challenge", "split", "data", "files")


@dataclass(frozen=True, slots=True)
class EnsembleRequest:
    """Request for an ensemble.

    Attributes:
        parents: folders or keys of the runs.
        data: as for a run.
        device: where the networks answer; ``None`` takes each run's own.
        runs: folder of run directories.
        leaderboards: folder of leaderboards.
    """

    parents: tuple[str, ...]
    data: Path | None = None
    device: str | None = None
    runs: Path | None = None
    leaderboards: Path | None = None

    @property
    def runs_root(self) -> Path:
        """The folder of run directories."""
        return self.runs or runs_folder()

    @property
    def boards_root(self) -> Path:
        """The folder of leaderboards."""
        return self.leaderboards or leaderboards_folder()


def run_ensemble(request: EnsembleRequest, progress: Progress | None = None) -> Finished:
    """Predict the cases of several runs by all their networks, score, record, and add the leaderboard's row.

    Raises:
        MedbenchError: ``ensemble.parents`` for fewer than two runs or one twice, ``ensemble.differ`` for runs
            on other cases, ``ensemble.network`` for a run without one network of its own, ``ensemble.task``
            for answers that cannot be put together, and as :func:`medbench.running.run.run`.
    """
    progress = progress or SilentProgress()
    if request.device is not None:
        present_device(request.device)
    start_time = now()
    parents = _parents(request)
    jobs = [_job(run, request, progress) for run in parents]
    first = jobs[0]
    challenge = first.challenge
    subject = Subject(
        challenge, first.data, first.split, first.cases, manifest_sha256(first.data.root, first.cases)
    )
    if subject.manifest_sha256 != parents[0].record.challenge.manifest_sha256:
        raise MedbenchError(
            "ensemble.differ", f"{first.data.root}: holds other files than the runs saw.", "Give --data."
        )
    facts = [_facts(run) for run in parents]
    settings = {
        "parents": facts,
        "rule": RULE,
        "device": first.request.inference.device.split(":")[0],
        **plugin_settings(),
    }
    key = _key(settings, subject)
    folder = request.runs_root / challenge.name / NAME / key[:KEY_LENGTH]
    places = first.request.places(first.data.root)

    def predictor() -> EnsemblePredictor:
        return EnsemblePredictor([job.predictor(folder / UNFINISHED, progress) for job in jobs])

    def read(case: Case) -> Any:
        samples = [job.read(case) for job in jobs]
        return EnsembleSample(case, samples, samples[0].demands)

    rows, timing = predict_and_score(
        challenge, first.cases, predictor, folder, progress, read=read, places=places
    )
    challenge.exchange.gather(first.cases, folder / "predictions")
    provenance = Provenance(
        key=key,
        model=_model_record(parents, jobs, facts, places),
        settings=settings,
        seed=first.request.seed,
        device=first.request.inference.device,
        command=command_line(["medbench", NAME, *(str(fact["key"])[:KEY_LENGTH] for fact in facts)]),
        citations=list(dict.fromkeys(text for run in parents for text in run.record.citations)),
        started=start_time,
    )
    record = make_record(subject, rows, timing, provenance)
    result = Finished(record, rows, folder, len(rows) - timing.cases, provenance.command)
    result = store(result, challenge, first.cases, folder / "predictions", request.boards_root)
    add_references(subject, first.request, progress)
    keep_phases(folder, timing)
    return result


def _parents(request: EnsembleRequest) -> list[Run]:
    parents = [find_run(name, request.runs_root) for name in request.parents]
    keys = [run.record.key for run in parents]
    if len(keys) < 2 or len(set(keys)) < len(keys):
        raise MedbenchError(
            "ensemble.parents",
            f"An ensemble needs two or more different runs, not {', '.join(request.parents)}.",
            "Name each run once, and at least two.",
        )
    for run in parents[1:]:
        for what, own, other in zip(_SAME, _population(run), _population(parents[0]), strict=True):
            if own != other:
                raise MedbenchError(
                    "ensemble.differ",
                    f"{run.folder}: is of another {what} ({own}) than {parents[0].folder} ({other}).",
                    "Name runs on the same cases.",
                )
    for run in parents:
        _check(run)
    return parents


def _population(run: Run) -> tuple[str, ...]:
    challenge = run.record.challenge
    return challenge.name, challenge.split, run.record.data, challenge.manifest_sha256


def _check(run: Run) -> None:
    """Refuse a run whose answers no single network gave, or of only some cases or modalities."""
    model, settings = run.record.model, run.record.settings
    faults = {
        "scores predictions from elsewhere": model.weights == "foreign",
        "is an ensemble itself": "parents" in settings,
        "is of several networks": "networks" in settings,
        "is of some cases alone": settings.get("cases", "*") != "*",
        "predicts slides": "tiling" in settings,
        "was shown some modalities alone": "modalities" in settings,
    }
    fault = next((words for words, applies in faults.items() if applies), None)
    if fault is not None:
        raise MedbenchError(
            "ensemble.network", f"{run.folder}: {fault}.", "Name runs of one network each on all cases."
        )


def _job(run: Run, request: EnsembleRequest, progress: Progress) -> Job:
    """The job of a parent: the same network, weights and settings on the same cases."""
    record = run.record
    names = {entry.name for entry in fields(Inference)}
    settings = {name: value for name, value in record.settings.items() if name in names}
    if request.device is not None:
        settings["device"] = request.device
    weights = NONE if record.model.weights == NONE else str(weights_of_run(run, request.runs_root))
    job = resolve(
        Request(
            model=record.model.name,
            challenge=record.challenge.name,
            data=request.data,
            split=record.challenge.split,
            weights=weights,
            options=record.model.options,
            inference=Inference(**settings),
            seed=record.seed,
            runs=request.runs,
            leaderboards=request.leaderboards,
        ),
        progress,
    )
    assert isinstance(job, Job), "runs of several networks are refused"
    unknown = [task for task in job.network.outputs if task not in RULES]
    if unknown:
        raise MedbenchError(
            "ensemble.task",
            f"{titles(unknown).capitalize()} cannot be combined in an ensemble.",
            "Compare the runs instead: medbench compare.",
        )
    return job


def _facts(run: Run) -> dict[str, Any]:
    model = run.record.model
    return {
        "key": run.record.key,
        "model": model.name,
        "title": model.title,
        "weights_sha256": model.weights_sha256,
        "seed": run.record.seed,
    }


def _key(settings: Mapping[str, Any], subject: Subject) -> str:
    """Hash of everything that decides an ensemble's result."""
    return sha256_json(
        {
            "model": NAME,
            "settings": settings,
            "challenge": subject.challenge.name,
            "split": subject.split,
            "data": subject.data.kind,
            "manifest": subject.manifest_sha256,
            "code": code_sha256(),
        }
    )


def _model_record(
    parents: Sequence[Run], jobs: Sequence[Job], facts: Sequence[dict[str, Any]], places: Places
) -> ModelRecord:
    kinds = {run.record.model.weights for run in parents}
    digests = [run.record.model.weights_sha256 for run in parents]
    counts = [job.setup.count_parameters() for job in jobs]
    sizes = [count for count in counts if count is not None]
    return ModelRecord(
        name=NAME,
        title=f"Ensemble of {', '.join(run.record.model.title for run in parents)}",
        parameters=sum(sizes) if len(sizes) == len(counts) else None,
        weights=kinds.pop() if len(kinds) == 1 else "file",
        weights_sha256=sha256_json(digests) if all(digests) else None,
        training=places.hide_all({"parents": list(facts)}),
    )
