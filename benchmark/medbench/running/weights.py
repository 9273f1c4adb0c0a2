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
from medbench.core.files import read_json
from medbench.core.folders import cache_folder
from medbench.core.plugins import plugin_hashes
from medbench.core.progress import Progress
from medbench.inference.weights import load_checkpoint
from medbench.records.identity import manifest_sha256
from medbench.running.kept_weights import say_other_threads
from medbench.running.learnt_classes import differing_classes
from medbench.running.networks import NetworkPlan, recipe_for
from medbench.running.request import NONE, RunPlan
from medbench.running.start import split_start
from medbench.running.train import plan_training, train_planned, training_challenge

if TYPE_CHECKING:
    from collections.abc import Callable

    from medbench.inference.weights import Checkpoint

QUICK = "quick"


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
        from medbench.training.fit import training_summary

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
    path = find_trained(challenge, data, network, request.runs_root, request.recipe, training_split, seed)
    if path is not None:
        say_other_threads(path.parent, progress)
    elif data.kind == "sample":
        path = _fit_quick(plan, data, training_split, seed, progress)
    if path is None:
        raise no_weights(plan, data, training_split)
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
    """The network with the options that its weights were trained with.

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
    return dataclasses.replace(network, options=options)


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


def _demands_of(challenge: str) -> Mapping[str, Sequence[str]]:
    """Classes of a challenge by task; none where it is not known here."""
    try:
        return load_challenge(challenge).card.demands
    except MedbenchError:
        return {}


def find_trained(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    runs: Path,
    recipe: str | None,
    split: str | None = None,
    seed: int | None = None,
) -> Path | None:
    """Weights file of the latest finished training of this model on these data; ``None`` without one.

    Args:
        challenge: the challenge.
        data: its data; weights of another copy do not count.
        network: the model with its options.
        runs: folder of run directories.
        recipe: only of this recipe.
        split: training split; ``None`` takes the challenge's own.
        seed: only of this seed.
    """
    from medbench.training.fit import SUMMARY, WEIGHTS

    challenge = training_challenge(challenge)
    folder = runs / challenge.name / network.folder_name / "training"
    split = split or challenge.release.training_split
    manifest = manifest_sha256(data.root, challenge.cases(data.root, split))
    candidates = []
    for summary_path in folder.glob(f"*/{SUMMARY}"):
        weights = summary_path.with_name(WEIGHTS)
        summary = read_json(summary_path)
        fits = (
            weights.exists()
            and summary["manifest_sha256"] == manifest
            and summary["split"] == split
            and split_start(summary["options"])[0] == split_start(network.options)[0]
            and summary.get("plugins", {}) == plugin_hashes()
            and (recipe is None or summary["recipe"]["name"] == recipe)
            and (seed is None or summary["seed"] == seed)
        )
        if fits:
            candidates.append((summary["finished"], weights))
    return max(candidates)[1] if candidates else None


def no_weights(plan: RunPlan, data: Data, split: str) -> MedbenchError:
    """The error for a run on real data without weights; names the options of trainings with others."""
    challenge, network = plan.challenge, plan.network
    settings = "".join(f" --set {name}={value}" for name, value in split_start(network.options)[0].items())
    with_settings = f" with{settings}" if settings else ""
    message = f"There are no weights of {network.name}{with_settings} for {challenge.title} on {data.root}."
    others = _settings_of_trainings(plan)
    if others:
        return MedbenchError(
            "weights.none", f"{message} Those that were trained have {' or '.join(others)}.",
            "Give the same options, --weights FILE, or train with these.",
        )  # fmt: skip
    option = f" --split {split}" if split != challenge.release.training_split else ""
    place = "" if data.root == challenge.release.folder else f" --data {shlex.quote(str(data.root))}"
    return MedbenchError(
        "weights.none",
        message,
        f"Train first (medbench train -m {shlex.quote(network.name)} -c {challenge.name}{place}{option}"
        f"{settings}), give --weights FILE, or --weights none for fresh ones.",
    )


def _settings_of_trainings(plan: RunPlan) -> list[str]:
    """Options, as on the command line, of finished trainings of the model with other options."""
    from medbench.training.fit import SUMMARY, WEIGHTS

    own = split_start(plan.network.options)[0]
    root = plan.request.runs_root / training_challenge(plan.challenge).name
    others = set()
    for path in sorted(root.glob(f"*/training/*/{SUMMARY}")):
        summary = read_json(path)
        options = split_start(summary["options"])[0]
        if summary["model"] == plan.network.name and options != own and path.with_name(WEIGHTS).exists():
            others.add(" ".join(f"--set {name}={value}" for name, value in options.items()) or "no --set")
    return sorted(others)


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
