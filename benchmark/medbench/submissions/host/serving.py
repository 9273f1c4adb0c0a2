"""The program in the organisers' container: official scoring of the outputs of algorithms.

Sources: DIAGNijmegen/demo-challenge-pack@7e684e4 for grand-challenge's ``predictions.json`` and
``metrics.json``; codalab/codabench@c7dbc75 for ``/app/input`` and ``scores.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core import guard
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.guard import Failure
from medbench.core.plugins import load_copied_plugins
from medbench.core.progress import SilentProgress
from medbench.core.sample import Prediction
from medbench.core.text import counted, named
from medbench.io import images
from medbench.io.gate.expected import handed_in
from medbench.io.gate.source import copy_file
from medbench.running.handed_in import alike_hint, home, located, visible
from medbench.running.loop import score_predictions
from medbench.statistics.intervals import aggregate
from medbench.submissions.serving.image_files import SUFFIXES, only_file
from medbench.submissions.serving.outcome import guarded
from medbench.submissions.serving.session import FACTS, PLUGINS, Roots


def run(app: Path) -> int:
    """Score on the platform that ``evaluation.json`` names; the exit code."""
    load_copied_plugins(app / PLUGINS)
    facts = read_json(app / FACTS)
    work = {"grand-challenge": evaluate_jobs, "codabench": evaluate_results}[facts["platform"]]
    return guarded(lambda: work(facts, Roots()))


def evaluate_jobs(facts: Mapping[str, str], roots: Roots) -> None:
    """grand-challenge: the outputs of every job, ``/input/<pk>/output/…``, into ``/output/metrics.json``.

    A job belongs to the case that its input image is named after. Failed jobs, cases without a job, and jobs
    with no image or several are missing, and a case with two jobs has failed, as nobody can say which of them
    counts; the challenge's rule scores both. Jobs of other images are left out. The reasons are in the file
    and on standard error.

    Raises:
        MedbenchError: ``input.predictions`` for a list of jobs that cannot be read.
    """
    challenge, cases = _cases(facts, roots("/opt/ml/input/data/ground_truth"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "predictions"
        reasons, strays = collect_jobs(challenge, cases, roots("/input/predictions.json"), folder)
        scores = _score(challenge, cases, folder, Path(temporary), reasons)
    for line in strays:
        sys.stderr.write(f"{line}\n")
    scores["left_out"] = strays
    write_json(roots("/output/metrics.json"), scores)


def collect_jobs(
    challenge: Challenge, cases: Sequence[Case], path: Path, folder: Path
) -> tuple[dict[str, str], list[str]]:
    """Copy the outputs of a phase's jobs to the names of the challenge.

    Args:
        challenge: of the cases.
        cases: of the ground truth.
        path: ``predictions.json``, with the outputs in ``<pk>/output/…`` beside it.
        folder: takes the predictions.

    Returns:
        Why a case cannot be scored, by case id (empty where it can), and a line for every job that was left
        out, as its image is no case.

    Raises:
        MedbenchError: ``input.predictions``, or ``host.names``.
    """
    by_name = by_image_name(cases)
    folder.mkdir(parents=True)
    ids: set[str] = set()
    strays: list[str] = []
    reasons = {case.id: "no job of it succeeded. Look at the algorithm's log." for case in cases}
    for key, name, place in _jobs(path):
        case = by_name.get(name)
        if case is None:
            strays.append(f"Job {key}: {name} is no case of the ground truth; it was left out.")
        elif case.id in ids:
            reasons[case.id] = _refuse(challenge, case, folder)
        else:
            ids.add(case.id)
            reasons[case.id] = _take(challenge, case, path.parent / key, place, folder)
    return reasons, strays


def evaluate_results(facts: Mapping[str, str], roots: Roots) -> None:
    """Codabench: the files in ``/app/input/res`` into ``/app/output/scores.json``, one number a column.

    Raises:
        MedbenchError: ``input.results`` where no case has a prediction, with what is there instead.
    """
    challenge, cases = _cases(facts, roots("/app/input/ref"))
    results = home(challenge, cases, roots("/app/input/res"))
    absent = [case for case in cases if located(challenge, case, results) is None]
    name_of = challenge.exchange.prediction_name
    if len(absent) == len(cases):
        raise _no_results(len(cases), name_of(cases[0]), results, roots("/app/input/res"))
    reasons = {case.id: _absence(name_of(case), results) for case in absent}
    with tempfile.TemporaryDirectory() as temporary:
        scores = _score(challenge, cases, results, Path(temporary), reasons)
    values = {name: entry["value"] for name, entry in scores["aggregates"].items()}
    columns = {name: value for name, value in values.items() if value is not None}
    write_json(roots("/app/output/scores.json"), columns)
    write_json(roots("/app/output/details.json"), scores)


def _absence(name: str, results: Path) -> str:
    return f"the results hold no {name}{alike_hint(results, name)}. Hand it in under that name."


def _no_results(count: int, name: str, results: Path, top: Path) -> MedbenchError:
    """The error of results of which none is a case's, with the names that are there."""
    names = [f"{path.name} (a folder)" if path.is_dir() else path.name for path in visible(results)]
    where = "" if results == top else f" in {results.relative_to(top)}"
    there = f"{named(names) or 'nothing'}{where}"
    return MedbenchError(
        "input.results",
        f"The results hold no prediction of {counted(count, 'case')}, e.g. {name}"
        f"{alike_hint(results, name)}; they hold {there}.",
        "Name each file after its case, and zip the files themselves.",
    )


def _cases(facts: Mapping[str, str], root: Path) -> tuple[Challenge, list[Case]]:
    challenge = load_challenge(facts["challenge"])
    return challenge, challenge.cases(root, facts["split"])


def by_image_name(cases: Sequence[Case]) -> dict[str, Case]:
    """Cases by the last part of their id, which the platform's images are named after.

    Raises:
        MedbenchError: ``host.names`` for two cases of one name.
    """
    by_name: dict[str, Case] = {}
    for case in cases:
        other = by_name.setdefault(Path(case.id).name, case)
        if other is not case:
            raise MedbenchError(
                "host.names",
                f"{other.id} and {case.id}: their images would have the same name.",
                "This platform identifies a job's case by the name of its image: rename one.",
            )
    return by_name


def _jobs(path: Path) -> list[tuple[str, str, str]]:
    """Key, name of the input image, and folder of the output, of every job that succeeded."""
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))
        return [
            (str(job["pk"]), _without_suffix(_image_name(job["inputs"])), _place(job["outputs"]))
            for job in jobs
            if job["status"] == "Succeeded"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as failure:
        raise MedbenchError(
            "input.predictions",
            f"{path}: is not the platform's list of jobs ({type(failure).__name__}: {failure}).",
            "Start the evaluation again.",
        ) from failure


def _without_suffix(name: str) -> str:
    return name[: -len(images.suffix_of(Path(name)))] if images.suffix_of(Path(name)) else name


def _image_name(inputs: Sequence[Mapping[str, Any]]) -> str:
    return str(next(entry["image"]["name"] for entry in inputs if entry.get("image")))


def _place(outputs: Sequence[Mapping[str, Any]]) -> str:
    descriptions = (entry.get("socket") or entry["interface"] for entry in outputs)
    paths = (str(socket["relative_path"]).strip("/") for socket in descriptions)
    return next(path for path in paths if path.startswith("images/"))


def _take(challenge: Challenge, case: Case, job: Path, place: str, folder: Path) -> str:
    """Copy the only image of a job to the challenge's name; the reason where this fails, else empty text.

    Without exactly one image the case stays missing; an image that cannot be read, or that a link leads to
    from outside the job, is a failed prediction.
    """
    image = guard.guarded(case.id, lambda: only_file(job / "output" / place, SUFFIXES))
    if isinstance(image, Failure):
        return f"{image.reason} {image.hint}"
    target = folder / challenge.exchange.prediction_name(case)
    target.parent.mkdir(parents=True, exist_ok=True)
    result = guard.guarded(case.id, lambda: _hand_over(challenge, case, image, job, folder))
    if isinstance(result, Failure):
        target.write_bytes(b"")
        return f"{result.reason} {result.hint}"
    return ""


def _hand_over(challenge: Challenge, case: Case, image: Path, job: Path, folder: Path) -> None:
    """Copy a job's image, or write it in the challenge's own format; its reference's size limits both."""
    shape, target = _reference_shape(challenge, case), folder / challenge.exchange.prediction_name(case)
    if images.suffix_of(image) == images.suffix_of(target):
        copy_file(image, job, target, handed_in(shape))
        return
    labels = images.read_labels(image, root=job, expected=handed_in(shape)).array.squeeze()
    axes = labels.ndim if shape is None else sum(side > 1 for side in shape)
    if labels.ndim != axes:
        size = "×".join(map(str, labels.shape))
        raise MedbenchError(
            "prediction.shape",
            f"{image.name}: is {size}, with {labels.ndim} axes, expected {axes}.",
            "Hand in one label map on the grid of its image.",
        )
    planes = labels[None] if labels.ndim == 2 else labels
    challenge.write(Prediction({"label_map": planes}), case, folder)


def _reference_shape(challenge: Challenge, case: Case) -> tuple[int, ...] | None:
    """Shape of a case's reference; ``None`` where it is read in parts, as slides are."""
    read: Callable[[Case], Any] | None = getattr(challenge.release, "read_reference", None)
    if read is None:
        return None
    reference = read(case)
    return reference.shape if isinstance(reference, Volume) else np.shape(reference)


def _refuse(challenge: Challenge, case: Case, folder: Path) -> str:
    """Write an unreadable prediction, so that the case fails; the reason."""
    target = folder / challenge.exchange.prediction_name(case)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"")
    return "has two jobs, of which nobody can say which counts. Evaluate one of them."


def _score(
    challenge: Challenge, cases: Sequence[Case], folder: Path, work: Path, reasons: Mapping[str, str]
) -> dict[str, Any]:
    """Rows and aggregates as of ``medbench evaluate``, without NaN, which platforms cannot store.

    ``reasons`` are known better than by the scoring, for cases that are not scored.
    """
    rows, _ = score_predictions(challenge, cases, folder, work, SilentProgress())
    reason_by_case = {row.case: row.reason and (reasons.get(row.case) or row.reason) for row in rows}
    for case, reason in reason_by_case.items():
        if reason:
            sys.stderr.write(f"{case}: {' '.join(reason.split())}\n")
    aggregates = {}
    for spec in challenge.metrics:
        summary = aggregate(challenge.scorer.statistic, spec, rows)
        counts = {name: getattr(summary, name) for name in ("scored", "failed", "missing", "undefined")}
        if sum(counts.values()):
            interval = [summary.interval.low, summary.interval.high]
            aggregates[spec.name] = {"value": summary.value, "ci95": interval, **counts}
    cases_json = [
        {
            "case": row.case,
            "status": row.status,
            "reason": reason_by_case[row.case],
            "scores": {name: score.value for name, score in row.scores.items()},
        }
        for row in rows
    ]
    return {"cases": cases_json, "aggregates": aggregates}
