"""The contract of a challenge."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores
from medbench.core.sample import Boxes, Prediction, Sample, SequenceSample, VolumeSample
from medbench.core.task import TASKS
from medbench.testing.contract import require
from medbench.testing.examples import example_problems

MOST_CASES = 3


def check_challenge(
    challenge: str | Challenge, root: Path | None = None, options: Mapping[str, int] | None = None
) -> None:
    """Check a challenge against the contract that ours keep in the suite.

    The card is complete; the sample is drawn to the same bytes twice, and its own check finds no error; cases
    are stable, distinct and, where a split may be tested after training, in other groups than those learnt
    from; a plain answer is written, found and scored within the columns' bounds, twice the same; a damaged
    prediction is a :class:`MedbenchError` and nothing else; training examples, where there are any, are
    distinct and grouped, and load at the size that is asked for with indices of classes; a failed case takes
    the declared rule's scores; a column's value does not depend on the scale of case weights.

    Args:
        challenge: a challenge, or the name of a registered one.
        root: a folder of its data; a fresh sample if not given.
        options: of the sample, to draw a smaller one.

    Raises:
        ContractError: listing what is broken.
        MedbenchError: ``challenge.unknown``, or when the sample cannot be drawn.
    """
    subject = load_challenge(challenge) if isinstance(challenge, str) else challenge
    require(f"challenge {subject.name}", _card_problems(subject))
    with tempfile.TemporaryDirectory() as work:
        folder = root
        if folder is None:
            folder = Path(work) / "sample"
            require(f"challenge {subject.name}", _sample_problems(subject, folder, options or {}))
        require(f"challenge {subject.name}", _case_problems(subject, folder))
        require(f"challenge {subject.name}", example_problems(subject, folder, Path(work) / "cache"))
        require(f"challenge {subject.name}", _answer_problems(subject, folder, Path(work) / "predictions"))


def _card_problems(challenge: Challenge) -> Iterator[str]:
    yield from _fact_problems(challenge)
    yield from _demand_problems(challenge)


def _fact_problems(challenge: Challenge) -> Iterator[str]:
    card, release = challenge.card, challenge.release
    for fact in ("name", "title", "summary", "failure_rule", "citation", "license", "homepage"):
        if not str(getattr(card, fact)).strip():
            yield f"the card has no {fact}"
    for fact in ("data_hint", "sample_version"):
        if not str(getattr(release, fact)).strip():
            yield f"the release has no {fact}"
    for split in (release.default_split, release.training_split):
        if split not in release.splits:
            yield f"split '{split}' is not among the splits ({', '.join(release.splits)})"
    parts = (release, challenge.exchange, challenge.scorer)
    if any(part.card is not card for part in parts):
        yield "the parts hold different cards"


def _demand_problems(challenge: Challenge) -> Iterator[str]:
    card = challenge.card
    names = [spec.name for spec in card.metrics]
    yield from (f"two columns are named '{name}'" for name in set(names) if names.count(name) > 1)
    if not names:
        yield "the card has no column"
    if not card.demands:
        yield "the card demands no task"
    yield from (f"the card demands '{task}', which is no task" for task in card.demands if task not in TASKS)
    if not challenge.exchange.inputs:
        yield "the exchange serves no form of cases"


def _tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _sample_problems(challenge: Challenge, folder: Path, options: Mapping[str, int]) -> Iterator[str]:
    trees = []
    for target in (folder, folder.with_name("sample-again")):
        target.mkdir(parents=True)
        challenge.release.draw_sample(target, options)
        trees.append(_tree(target))
    if trees[0] != trees[1]:
        first, second = trees
        different = sorted(name for name in first | second if first.get(name) != second.get(name))
        yield f"two drawings of the sample differ in {different[0]}"
    errors = [finding for finding in challenge.release.check(folder) if finding.severity == "error"]
    if errors:
        yield f"the check of its own sample finds: {errors[0].message}"
    try:
        challenge.release.draw_sample(folder.with_name("sample-option"), {"no such option": 1})
        yield "an unknown option of the sample is not refused"
    except MedbenchError:
        pass


def _case_problems(challenge: Challenge, root: Path) -> Iterator[str]:
    release = challenge.release
    cases = challenge.cases(root, release.default_split)
    if [case.id for case in cases] != [case.id for case in challenge.cases(root, release.default_split)]:
        yield "two calls of cases give other orders"
    ids = [case.id for case in cases]
    yield from (f"two cases are named '{name}'" for name in set(ids) if ids.count(name) > 1)
    names = [challenge.exchange.prediction_name(case) for case in cases]
    yield from (f"two predictions are named '{name}'" for name in set(names) if names.count(name) > 1)
    for case, name in zip(cases, names, strict=True):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield f"{case.id}: the prediction's name '{name}' leaves the folder"
    try:
        challenge.cases(root, "no such split")
        yield "an unknown split is not refused"
    except MedbenchError:
        pass
    training = release.training_split_of(release.default_split)
    apart = not challenge.card.learns_from and not release.overlap(training, release.default_split)
    if training != release.default_split and apart:
        common = sorted(_units(challenge.cases(root, training)) & _units(cases))
        if common:
            yield f"{common[0]} is in {training} and in {release.default_split}, said to be apart"


def _units(cases: Sequence[Case]) -> set[str]:
    """Units that two splits may not share: groups, or the input files of a case without a group."""
    groups = {f"group '{case.group}'" for case in cases if case.group}
    return groups | {str(path) for case in cases if not case.group for path in case.inputs.values()}


def plain_prediction(challenge: Challenge, sample: Any) -> Prediction:
    """An answer of the right form that says little: background, even probabilities, no box, zeros, centres.

    Raises:
        KeyError: for a task of a plug-in and for slides, whose answers are not made here.
    """
    if isinstance(sample, SequenceSample):
        return Prediction({task: np.zeros(len(sample.features), np.float32) for task in sample.demands})
    if isinstance(sample, VolumeSample):
        return Prediction({"label_map": np.zeros(sample.volumes.shape[1:], np.uint8)})
    count, height, width = sample.images.shape[:3]
    demands = challenge.card.demands
    empty = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    makers = {
        "label_map": lambda names: np.zeros((count, height, width), np.uint8),
        "image_classes": lambda names: np.full((count, len(names)), 1 / len(names), np.float32),
        "image_labels": lambda names: np.full((count, len(names)), 0.5, np.float32),
        "boxes": lambda names: [empty] * count,
        "landmarks": lambda names: np.full((count, len(names), 2), (width / 2, height / 2), np.float32),
    }
    return Prediction({task: makers[task](demands[task]) for task in sample.demands})


def _answer_problems(challenge: Challenge, root: Path, folder: Path) -> Iterator[str]:
    cases = challenge.cases(root, challenge.release.default_split)
    by_kind: dict[str, list[Case]] = {}
    for case in cases:
        by_kind.setdefault(case.id.partition("/")[0] if "/" in case.id else "", []).append(case)
    rows = []
    for case in [case for kind in by_kind.values() for case in kind[:MOST_CASES]]:
        scores, problems = _score_problems(challenge, case, folder)
        yield from problems
        if scores is not None:
            rows.append(CaseRow(case.id, case.resampling_unit, "ok", scores.scores, scores.evidence))
    yield from _statistic_problems(challenge, rows)


def _score_problems(challenge: Challenge, case: Case, folder: Path) -> tuple[CaseScores | None, list[str]]:
    problems = []
    sample = challenge.read(case)
    if not sample.demands <= challenge.card.demands.keys():
        problems.append(f"{case.id}: demands {sorted(sample.demands)}, more than the card")
    failure = challenge.scorer.score_failed(case, "failed", "the reason")
    problems += _value_problems(challenge, case, failure)
    if any(score.status not in ("failed", "undefined") for score in failure.scores.values()):
        problems.append(f"{case.id}: a failed case has scores that are not marked failed")
    missing = challenge.score(case, folder)
    if any(score.status not in ("missing", "undefined") for score in missing.scores.values()):
        problems.append(f"{case.id}: a missing prediction has scores that are not marked missing")
    if (isinstance(sample, Sample) and sample.slide is not None) or not sample.demands <= _PLAIN:
        return None, problems
    path = challenge.write(plain_prediction(challenge, sample), case, folder)
    if challenge.locate(case, folder) != path:
        problems.append(f"{case.id}: the prediction just written is not found at {path.name}")
    scores = challenge.scorer.score_file(case, path)
    problems += _value_problems(challenge, case, scores)
    again = challenge.scorer.score_file(case, path)
    if json.dumps(_plain(scores)) != json.dumps(_plain(again)):
        problems.append(f"{case.id}: two scorings of one file differ")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        challenge.scorer.score_file(case, path)
        problems.append(f"{case.id}: a prediction cut in half is scored")
    except MedbenchError:
        pass
    except Exception as error:  # noqa: BLE001 - any other kind is what is looked for
        problems.append(f"{case.id}: a prediction cut in half raises {type(error).__name__}: {error}")
    return scores, problems


_PLAIN = {"label_map", "image_classes", "image_labels", "boxes", "landmarks", "frame_scores"}


def _plain(scores: CaseScores) -> dict[str, Any]:
    return {"scores": {n: s.as_json() for n, s in scores.scores.items()}, "evidence": dict(scores.evidence)}


def _value_problems(challenge: Challenge, case: Case, scores: CaseScores) -> list[str]:
    problems = []
    columns = {spec.name: spec for spec in challenge.metrics}
    for name, score in scores.scores.items():
        if name not in columns:
            problems.append(f"{case.id}: scores '{name}', which is no column")
        elif score.value is not None:
            low, high = columns[name].bounds
            if (low is not None and score.value < low) or (high is not None and score.value > high):
                problems.append(f"{case.id}: {name} = {score.value} is outside {columns[name].bounds}")
        elif not score.reason:
            problems.append(f"{case.id}: {name} has neither value nor reason")
    return problems


def _statistic_problems(challenge: Challenge, rows: list[CaseRow]) -> Iterator[str]:
    if not rows:
        return
    for spec in challenge.metrics:
        value = challenge.scorer.statistic(spec, rows)
        ones = np.ones((1, len(rows)))
        if not np.allclose(value(ones), value(3 * ones), equal_nan=True):
            yield f"{spec.name}: the value depends on the scale of the case weights"
