"""``medbench train``: fit a model to a challenge's training split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from medbench.challenges import load_challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.folders import cache_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.core.task import titles
from medbench.records.identity import manifest_sha256, plugin_settings
from medbench.running.data import resolve_data
from medbench.running.networks import NetworkPlan, recipe_for
from medbench.running.request import Request
from medbench.running.train_sequences import train_sequences
from medbench.running.training_plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medbench.challenges.base import Challenge
    from medbench.core.task import Form
    from medbench.inference.predictor import InputContract
    from medbench.inference.volumes import VolumeContract
    from medbench.training.fit import Hardware
    from medbench.training.framework import FrameworkRecipe
    from medbench.training.recipes import Recipe


def training_challenge(challenge: Challenge) -> Challenge:
    """The challenge whose training serves this challenge: itself, unless challenges share one training."""
    return load_challenge(challenge.card.learns_from) if challenge.card.learns_from else challenge


def plan_training(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    recipe: Recipe | FrameworkRecipe,
    runs: Path,
    split: str | None = None,
) -> TrainingPlan:
    """Plan a training; its folder's name hashes everything that decides its result."""
    challenge = training_challenge(challenge)
    split = split or challenge.release.training_split
    cases = challenge.cases(data.root, split)
    facts = {
        "model": network.name,
        "options": network.options,
        "num_classes": network.num_classes,
        "num_image_classes": network.num_image_classes,
        "challenge": challenge.name,
        "split": split,
        "data": data.kind,
        "manifest_sha256": manifest_sha256(data.root, cases),
        "seed": recipe.seed,
        **plugin_settings(),
    }
    key = sha256_json({**facts, "recipe": recipe.as_json()})
    facts["classes"] = {task: list(names) for task, names in challenge.card.demands.items()}
    folder = runs / challenge.name / network.folder_name / "training" / f"{recipe.name}-{key[:12]}"
    return TrainingPlan(challenge, data, network, recipe, folder, split, facts)


def train_planned(plan: TrainingPlan, hardware: Hardware, progress: Progress) -> Path:
    """Weights file of a planned training: an interrupted training is resumed, a finished one not repeated.

    Raises:
        MedbenchError: ``training.task`` for tasks that are not learnt here, or as the training itself.
    """
    from medbench.training.fit import LEARNT, Learner, fit
    from medbench.training.framework import TrainingOrder

    if plan.network.framework is not None:
        order = TrainingOrder(
            challenge=plan.challenge,
            root=plan.data.root,
            split=plan.split,
            options=plan.network.all_options,
            recipe=plan.recipe,
            folder=plan.folder,
            cache=cache_folder() / "frames",
            facts=plan.facts,
        )
        return plan.network.framework.train(order, hardware, progress)
    if plan.network.form == "sequence" and "frame_scores" in plan.network.outputs:
        return train_sequences(plan, hardware, progress)
    if not plan.network.outputs.keys() & LEARNT:
        raise MedbenchError(
            "training.task",
            f"Only {titles(sorted(LEARNT, reverse=True))} are trained; {plan.challenge.title} demands "
            f"{titles(plan.network.outputs)}.",
            "Give --weights FILE, or --weights none for fresh ones.",
        )
    network = plan.network
    return fit(
        Learner(
            network.build, _contract(plan), network.num_classes, network.returned, tuple(network.outputs)
        ),
        _examples(plan),
        plan.recipe,
        plan.folder,
        plan.facts,
        hardware=hardware,
        progress=progress,
        cache=cache_folder() / "volumes",
    )


def _contract(plan: TrainingPlan) -> InputContract | VolumeContract:
    size = plan.recipe.image_size
    return plan.network.volume_contract(size) if plan.network.sees_volumes else plan.network.contract(size)


def _examples(plan: TrainingPlan) -> Sequence[Any]:
    from medbench.training.missing_modalities import with_missing

    form: Form = "volume" if plan.network.sees_volumes else "image"
    examples = plan.challenge.exchange.inputs[form].examples(
        plan.data.root, plan.split, cache_folder() / "frames"
    )
    if form == "volume" and plan.recipe.missing_rates:
        return with_missing(examples, plan.recipe.missing_rates, plan.challenge.card.modalities)
    return examples


class TrainingKeywords(TypedDict, total=False):
    """Keywords of a training; see :class:`medbench.running.request.Request`."""

    data: str | Path | None
    split: str | None
    options: Mapping[str, Any] | None
    runs: str | Path | None


def train(
    model: str,
    challenge: str,
    *,
    recipe: str = "default",
    recipe_changes: Mapping[str, Any] | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> Path:
    """Train a model by a recipe; an interrupted training is resumed, a finished one is not repeated.

    Args:
        model: model name.
        challenge: challenge name.
        recipe: name of one of the model family's recipes.
        recipe_changes: settings that differ from the recipe's.
        hardware: accelerator, devices, nodes, precision.
        progress: display that counts the steps.
        keywords: ``data``, a real copy, else as :func:`medbench.running.data.resolve_data` finds it;
            ``split`` to learn from, the challenge's own training split if not given, or those of all its
            folds; ``options`` of the model; ``runs``, folder of run directories.

    Returns:
        Path of the weights, of the last fold's where there are several; ``training.json`` beside them says
        how they were made.

    Raises:
        MedbenchError: for unknown names, unreadable data or a diverged training.
    """
    from medbench.training.fit import Hardware as DefaultHardware

    progress = progress or SilentProgress()
    request = Request.of(model, challenge, **keywords)
    subject, network = request.match()
    settings = recipe_for(subject, network, recipe, recipe_changes)
    data = resolve_data(subject, request.data, progress)
    release = training_challenge(subject).release
    folds = () if request.split else release.parts(release.default_split)
    splits: list[str | None] = [*map(release.training_split_of, folds)] if folds else [request.split]
    plans = [plan_training(subject, data, network, settings, request.runs_root, split) for split in splits]
    weights = [train_planned(plan, hardware or DefaultHardware(), progress) for plan in plans]
    return weights[-1]
