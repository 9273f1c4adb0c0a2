"""Training of networks that see sequences, and the score that chooses their epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.case import Case
from medbench.core.folders import cache_folder
from medbench.core.progress import Progress
from medbench.core.seeds import hashed_share
from medbench.running.training_plan import TrainingPlan

if TYPE_CHECKING:
    from torch import nn


HELD_OUT = 0.2


def train_sequences(plan: TrainingPlan, progress: Progress) -> Path:
    """Train a network that scores frames, one step a video; the path of its weights.

    Raises:
        MedbenchError: as :func:`medbench.training.sequence_fit.fit_sequences`.
    """
    from medbench.training.sequence_fit import device_of, fit_sequences

    exchange = plan.challenge.exchange
    examples = exchange.inputs["sequence"].examples(plan.data.root, plan.split, cache_folder() / "frames")
    held_out = _held_out(plan)
    ids = {case.id for case in held_out}
    judge = judge_of(plan, held_out, str(device_of(plan.hardware))) if held_out else None
    return fit_sequences(
        plan.build,
        [example for example in examples if example.id not in ids],
        plan.recipe,
        plan.folder,
        plan.facts,
        hardware=plan.hardware,
        progress=progress,
        judge=judge,
    )


def _held_out(plan: TrainingPlan) -> Sequence[Case]:
    """The cases that choose the epoch, by the recipe's rule."""
    rule = plan.recipe.validation
    if rule == "none":
        return []
    release = plan.challenge.release
    if rule == "test_split":
        tests = [
            name
            for name in release.splits
            if name != plan.split and release.training_split_of(name) == plan.split
        ]
        own = [name for name in tests if plan.split.startswith(name)] or tests
        return release.cases(plan.data.root, own[0])
    cases = release.cases(plan.data.root, plan.split)
    shares = {
        case.resampling_unit: hashed_share(f"{plan.recipe.seed}/{case.resampling_unit}") for case in cases
    }
    by_share = sorted(shares, key=shares.__getitem__)
    validation_units = set(by_share[: max(1, round(HELD_OUT * len(by_share)))])
    return [case for case in cases if case.resampling_unit in validation_units]


def judge_of(plan: TrainingPlan, cases: Sequence[Case], device: str) -> Callable[[nn.Module], float]:
    """The mean of the challenge's first column over some cases, as a function of a network."""
    from medbench.inference.build import PredictorSettings, build_predictor

    challenge, entry = plan.challenge, plan.network.entry
    readers = challenge.exchange.inputs_with_reference if entry.sees_reference else challenge.exchange.inputs
    samples: list[Any] = [readers["sequence"].read(case) for case in cases]
    column = challenge.metrics[0].name
    settings = PredictorSettings(form="sequence", tasks=tuple(plan.network.outputs), device=device)

    def judge(network: nn.Module) -> float:
        predictor = build_predictor(network, settings, entry.predictor)
        values = []
        with tempfile.TemporaryDirectory() as folder:
            for case, sample in zip(cases, samples, strict=True):
                path = challenge.write(predictor.predict(sample), case, Path(folder))
                values.append(challenge.scorer.score_file(case, path).scores[column].value or 0.0)
        return float(np.mean(values))

    return judge
