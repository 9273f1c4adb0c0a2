"""Weights of a request, read once: from a file, from an earlier training, or fitted now."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.folders import cache_folder
from medbench.core.progress import Progress
from medbench.inference.predictor import InputContract
from medbench.inference.weights import load_checkpoint
from medbench.models import model_entry
from medbench.running.kept_weights import say_other_threads
from medbench.running.learnt_classes import differing_classes, differing_modalities
from medbench.running.networks import INPUT, NetworkPlan, recipe_for
from medbench.running.request import NONE, RunPlan
from medbench.running.start import split_start
from medbench.running.train import plan_training, train_planned
from medbench.running.trainings import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from medbench.inference.weights import Checkpoint

QUICK = "quick"
_NORMALISATION = ("channel_order", "scale", "mean", "std")
"""Facts of a card that may differ from challenge to challenge and from version to version: the weights'."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a network and the file they were read from.

    Attributes:
        kind: ``none`` for fresh weights, ``file`` for ``--weights FILE``, ``trained`` for those of a
        training.
        path: the file.
        checkpoint: what the file holds.
    """

    kind: Literal["none", "file", "trained"] = "none"
    path: Path | None = None
    checkpoint: Checkpoint | None = None

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file's bytes."""
        return None if self.checkpoint is None else self.checkpoint.sha256

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that a MedBench training recorded in the file; empty for fresh weights and foreign files."""
        return {} if self.checkpoint is None else self.checkpoint.facts

    @property
    def cpu_minutes(self) -> list[float]:
        """CPU minutes of the training that left the weights; empty where that is not on record."""
        from medbench.training.result_files import training_summary

        summary = training_summary(self.path.parent) if self.path and self.kind == "trained" else None
        return [round(summary["cpu_s"] / 60, 3)] if summary and "cpu_s" in summary else []


def read_weights(
    path: Path,
    kind: Literal["file", "trained"] = "file",
    verify: Callable[[str], None] | None = None,
) -> Weights:
    """Weights of a file; a run reads the file only here.

    Args:
        path: the file.
        kind: the weights' kind, as in :class:`Weights`.
        verify: as for :func:`medbench.inference.weights.load_checkpoint`.

    Raises:
        MedbenchError: as :func:`medbench.inference.weights.load_checkpoint`.
    """
    return Weights(kind, path, load_checkpoint(path, verify))


def given_weights(plan: RunPlan) -> Weights | None:
    """Weights that a request names by their file, or that it does without; ``None`` where data decide.

    Raises:
        MedbenchError: as :func:`read_weights` and a framework's own reading.
    """
    network, path = plan.network, plan.request.weights_file
    if plan.request.weights == NONE or not network.entry.learns:
        return Weights()
    if path is None:
        return None
    if network.framework is not None:
        path = network.framework.import_weights(path, network.name, cache_folder() / "imported")
    return read_weights(path)


def choose_weights(plan: RunPlan, data: Data, progress: Progress, repeat: int = 0) -> Weights:
    """Weights of a request that names none: from an earlier training, or fitted now on a synthetic sample.

    Args:
        plan: the request.
        data: what is learnt from.
        progress: told of every step.
        repeat: which of the request's repeats; each learns with a seed of its own.

    Raises:
        MedbenchError: ``weights.none``, ``weights.leak``, or as :func:`read_weights`.
    """
    request, challenge, network = plan.request, plan.challenge, plan.network
    split = str(request.split)
    training_split = challenge.release.training_split_of(split)
    refuse_leak(challenge, training_split, split, "Weights would be learnt from")
    seed = None
    if request.repeats > 1:
        seed = recipe_for(challenge, network, request.recipe or QUICK).seed + repeat
    demand = Wanted(challenge, data, network, request.runs_root, request.recipe, training_split, seed)
    path = demand.newest()
    if path is not None:
        say_other_threads(path.parent, progress)
    elif data.kind == "sample":
        path = _fit_quick(plan, data, training_split, seed, progress)
    if path is None:
        raise no_weights(plan, demand)
    return read_weights(path, "trained")


def refuse_leak(challenge: Challenge, training_split: str, split: str, what: str) -> None:
    """Refuse to predict a split that shares cases with the training split.

    Raises:
        MedbenchError: ``weights.leak``.
    """
    overlap = challenge.release.overlap
    if not overlap(training_split, split):
        return
    other = challenge.release.training_split_of(split)
    apart = [name for name in challenge.release.splits if name != other and not overlap(training_split, name)]
    if not overlap(other, split):
        hint = f"Train with --split {other}."
    elif apart:
        hint = f"Every training split shares cases with {split}: predict {' or '.join(apart)} instead."
    else:
        hint = f"Train with --split {other}, and predict a split apart from it."
    raise MedbenchError(
        "weights.leak", f"{what} the split {training_split}, which shares cases with {split}.", hint
    )


def fit_to_weights(network: NetworkPlan, weights: Weights) -> NetworkPlan:
    """The network with the options, and the normalisation of its input, that its weights were trained with.

    Raises:
        MedbenchError: ``weights.other_model``.
    """
    facts = weights.facts
    if facts and facts.get("model") != (network.entry.weights_of or network.name):
        raise MedbenchError(
            "weights.other_model",
            f"{weights.path}: these are weights of {facts.get('model')}, not of {network.name}.",
            f"Use -m {facts.get('model')}.",
        )
    if weights.checkpoint is None:
        return network
    options, _ = split_start({**facts.get("options", {}), **network.options})
    entry = network.entry
    if facts and not entry.local:
        entry = dataclasses.replace(entry, **_normalisation(network.name, facts))
    return dataclasses.replace(network, entry=entry, options=options)


def _normalisation(model: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """How a training normalised its input: as on record, else as the model's card has it today."""
    if INPUT not in facts:
        card, _ = model_entry(model).on(facts.get("challenge", ""))
        return {name: getattr(card, name) for name in _NORMALISATION}
    usual, own = InputContract(), facts[INPUT]
    values = {name: own.get(name, getattr(usual, name)) for name in _NORMALISATION}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def refuse_other_classes(challenge: Challenge, weights: Weights) -> None:
    """Refuse weights whose outputs mean other classes than the challenge's, be they as many.

    Raises:
        MedbenchError: ``weights.other_labels`` with both lists.
    """
    facts = weights.facts
    classes = facts.get("classes")
    if classes is None:
        if facts.get("challenge") in (None, challenge.name):
            return
        classes = _demands_of(facts["challenge"])
    differing = differing_classes(classes, challenge)
    if differing is not None:
        other, own = differing
        raise MedbenchError(
            "weights.other_labels",
            f"{weights.path}: learnt {', '.join(other) or 'no such classes'} ({facts.get('challenge')}); "
            f"{challenge.title} has {', '.join(own)}.",
            "Use weights that learnt these classes in this order.",
        )


def refuse_other_modalities(challenge: Challenge, weights: Weights) -> None:
    """Refuse weights that learnt from other modalities, or from the same in another order of the channels.

    Raises:
        MedbenchError: ``weights.other_modalities`` with both lists.
    """
    name = weights.facts.get("challenge")
    if name in (None, challenge.name) or not challenge.card.modalities:
        return
    try:
        differing = differing_modalities(load_challenge(name), challenge)
    except MedbenchError:  # a challenge that is not known here
        return
    if differing is not None:
        other, own = differing
        raise MedbenchError(
            "weights.other_modalities",
            f"{weights.path}: learnt from {', '.join(other)} ({name}); {challenge.title} has "
            f"{', '.join(own)}.",
            "Use weights that learnt from these modalities in this order.",
        )


def _demands_of(challenge: str) -> Mapping[str, Sequence[str]]:
    """Classes of a challenge by task; none where it is not known here."""
    try:
        return load_challenge(challenge).card.demands
    except MedbenchError:
        return {}


def no_weights(plan: RunPlan, demand: Wanted) -> MedbenchError:
    """The error for a run on real data without weights; says what trainings there are have instead."""
    challenge, network, data, split = plan.challenge, plan.network, demand.data, demand.split
    settings = "".join(f" --set {name}={value}" for name, value in split_start(network.options)[0].items())
    with_settings = f" with{settings}" if settings else ""
    message = f"There are no weights of {network.name}{with_settings} for {challenge.title} on {data.root}."
    others = demand.others()
    if others:
        message += f" Those that were trained have {' or '.join(others)}."
    option = f" --split {split}" if split != challenge.release.training_split else ""
    place = "" if data.root == challenge.release.folder else f" --data {shlex.quote(str(data.root))}"
    train = f"(medbench train -m {shlex.quote(network.name)} -c {challenge.name}{place}{option}{settings})"
    return MedbenchError(
        "weights.none",
        message,
        f"Take one of them by --weights FILE, or train {train}."
        if others
        else f"Train first {train}, give --weights FILE, or --weights none for fresh ones.",
    )


def _fit_quick(plan: RunPlan, data: Data, split: str, seed: int | None, progress: Progress) -> Path:
    from medbench.training.hardware import Hardware, present_hardware

    challenge, network, name = plan.challenge, plan.network, plan.request.recipe or QUICK
    recipe = recipe_for(challenge, network, name, None if seed is None else {"seed": seed})
    progress.say(
        f"No weights given. Fitting {network.name} on the synthetic sample first, its split {split}, by the "
        f"'{name}' recipe: {recipe.describe(network.entry.spatial_dims)}. "
        "Its scores say nothing about real data; --weights FILE skips this."
    )
    hardware = present_hardware(Hardware(devices=1))
    training = plan_training(challenge, data, network, recipe, plan.request.runs_root, split, None, hardware)
    return train_planned(training, progress)
