"""``medbench train``: fit a model to a challenge's training split, or find weights of an earlier call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges import load_challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json
from medbench.core.folders import cache_folder, runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.records.identity import manifest_sha256
from medbench.running.data import resolve_data
from medbench.running.networks import NetworkPlan, plan_network
from medbench.training.recipes import Recipe, load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medbench.challenges.base import Challenge
    from medbench.inference.predictor import InputContract
    from medbench.inference.volumes import VolumeContract
    from medbench.training.fit import Hardware
    from medbench.training.framework import FrameworkRecipe


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A training that is decided but not yet done.

    Attributes:
        challenge: what to learn.
        data: where from.
        network: what learns.
        recipe: how; a :class:`Recipe`, or a framework's own.
        folder: where its state and weights lie; named by everything that decides them.
        split: the training split.
        facts: what the weights file records.
    """

    challenge: Challenge
    data: Data
    network: NetworkPlan
    recipe: Any
    folder: Path
    split: str
    facts: dict[str, Any] = field(default_factory=dict)


def training_challenge(challenge: Challenge) -> Challenge:
    """The challenge whose training serves this one: itself, unless two tasks share what they learn."""
    return load_challenge(challenge.card.learns_from) if challenge.card.learns_from else challenge


def recipe_for(
    challenge: Challenge, network: NetworkPlan, name: str, changes: dict[str, Any] | None = None
) -> Recipe | FrameworkRecipe:
    """A model's recipe with the challenge's augmentation, unless the recipe repeats the authors' program.

    A framework has recipes and augmentation of its own.

    Raises:
        MedbenchError: ``recipe.unknown`` or ``recipe.setting``.
    """
    if network.framework is not None:
        return network.framework.recipe(network.entry_family, name, changes or {})
    own = (
        {"augmentation": challenge.card.augmentation}
        if challenge.card.augmentation and name != "official"
        else {}
    )
    return load_recipe(network.entry_family, name, **{**own, **(changes or {})})


def plan_training(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    recipe: Recipe | FrameworkRecipe,
    runs: Path,
    split: str | None = None,
) -> TrainingPlan:
    """Decide where a training's state lies, from everything that decides its result."""
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
    }
    key = sha256_json({**facts, "recipe": recipe.as_json()})
    folder = runs / challenge.name / network.folder_name / "training" / f"{recipe.name}-{key[:12]}"
    return TrainingPlan(challenge, data, network, recipe, folder, split, facts)


def train_planned(plan: TrainingPlan, hardware: Hardware, progress: Progress) -> Path:
    """Do a planned training, or go on with it, or return its weights at once."""
    from medbench.training.fit import fit
    from medbench.training.framework import TrainingOrder
    from medbench.training.missing_modalities import with_missing

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
    root, size, cache = plan.data.root, plan.recipe.image_size, cache_folder() / "frames"
    images: Sequence[Any]
    contract: InputContract | VolumeContract
    if plan.network.sees_volumes:
        images = plan.challenge.exchange.inputs["volume"].examples(root, plan.split, cache)
        if plan.recipe.missing_rates:
            images = with_missing(images, plan.recipe.missing_rates, plan.challenge.card.modalities)
        contract = plan.network.volume_contract(size)
    else:
        images = plan.challenge.exchange.inputs["image"].examples(root, plan.split, cache)
        contract = plan.network.contract(size)
    return fit(
        plan.network.build,
        images,
        plan.recipe,
        contract,
        plan.folder,
        plan.facts,
        num_classes=plan.network.num_classes,
        hardware=hardware,
        progress=progress,
        cache=cache_folder() / "volumes",
    )


def train(
    model: str,
    challenge: str,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    recipe: str = "default",
    recipe_changes: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    hardware: Hardware | None = None,
    runs: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model by a recipe; an interrupted training goes on, a finished one is not repeated.

    Args:
        model: model name.
        challenge: challenge name.
        data: a real copy; else as :func:`medbench.running.data.resolve_data` finds it.
        split: what to learn from; the challenge's own training split if not given.
        recipe: name of one of the model family's recipes.
        recipe_changes: settings that differ from the recipe's.
        options: options of the model.
        hardware: accelerator, devices, nodes, precision.
        runs: folder of run directories.
        progress: told of every step.

    Returns:
        Path of the weights; ``training.json`` beside them says how they were made.

    Raises:
        MedbenchError: for unknown names, unreadable data or a diverged training.
    """
    from medbench.training.fit import Hardware as DefaultHardware

    progress = progress or SilentProgress()
    loaded = load_challenge(challenge)
    network = plan_network(model, loaded, options or {})
    resolved = resolve_data(loaded, Path(data) if data is not None else None, progress)
    settings = recipe_for(loaded, network, recipe, recipe_changes)
    if split is not None:
        loaded.release.check_split(split)
    plan = plan_training(loaded, resolved, network, settings, Path(runs) if runs else runs_folder(), split)
    return train_planned(plan, hardware or DefaultHardware(), progress)


def find_trained(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    runs: Path,
    recipe: str | None,
    split: str | None = None,
) -> Path | None:
    """Weights that a finished training of this model on this very data left, the latest first.

    Args:
        challenge: the challenge.
        data: its data; weights of another copy do not count.
        network: the model with its options.
        runs: folder of run directories.
        recipe: only of this recipe.
        split: what they learnt from; the challenge's own training split if not given.
    """
    from medbench.training.fit import SUMMARY, WEIGHTS

    challenge = training_challenge(challenge)
    folder = runs / challenge.name / network.folder_name / "training"
    split = split or challenge.release.training_split
    manifest = manifest_sha256(data.root, challenge.cases(data.root, split))
    found = []
    for summary_path in folder.glob(f"*/{SUMMARY}"):
        weights = summary_path.with_name(WEIGHTS)
        summary = read_json(summary_path)
        fits = (
            weights.exists()
            and summary["manifest_sha256"] == manifest
            and summary["split"] == split
            and summary["options"] == network.options
            and (recipe is None or summary["recipe"]["name"] == recipe)
        )
        if fits:
            found.append((summary["finished"], weights))
    return max(found)[1] if found else None


def no_weights(challenge: Challenge, model: str, data: Data, split: str | None = None) -> MedbenchError:
    """The error for a run on real data without weights."""
    chosen = f" --split {split}" if split not in (None, challenge.release.training_split) else ""
    return MedbenchError(
        "weights.none",
        f"There are no weights of {model} for {challenge.title} on {data.root}.",
        f"Train first (medbench train -m {model} -c {challenge.name} --data {data.root}{chosen}), "
        "give --weights FILE, or --weights none for fresh ones.",
    )
