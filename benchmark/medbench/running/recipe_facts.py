"""Outline of a training, setting by setting with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbench.challenges.base import Challenge
from medbench.nnunet.own_classes import DEFAULT_TRAINER
from medbench.running.networks import NetworkPlan, challenge_settings, recipe_choice
from medbench.training.recipes import Document, recipe_document
from medbench.training.recipes.checking import UNUSED

CHANGED = "--recipe-set"
_SEQUENCES = {
    "optimizer": "adam",
    "image_size": "whole videos",
    "batch_size": "1 video",
    "augmentation": "none",
}
_NNUNET = {
    "optimizer": "SGD, Nesterov momentum 0.99",
    "schedule": "polynomial",
    "loss": "cross entropy and soft Dice with deep supervision",
    "augmentation": "nnU-Net's own",
}
FRESH = "fresh weights"


def outline(
    challenge: Challenge,
    network: NetworkPlan,
    recipe: Any,
    changes: Mapping[str, Any],
    start: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Outline of a training: every setting with its value and the document that it comes from.

    Args:
        challenge: the challenge.
        network: the network.
        recipe: the recipe with its changes.
        changes: settings that the user changed.
        start: facts of the weights that it starts from; ``None`` for fresh ones.
    """
    document = recipe_document(network.recipe_family, recipe.name)
    name, reason = recipe_choice(challenge, network)
    own = challenge_settings(challenge, network, recipe.name)
    idle = () if network.framework is not None else UNUSED.get(network.learns, ())

    def source(setting: str) -> str:
        if setting in changes:
            return CHANGED
        if setting in own:
            return f"card of {challenge.name}"
        if network.framework is not None and setting not in document.ours:
            return document.source
        return document.of(setting)

    settings = {
        setting: {"value": value, "source": source(setting)}
        for setting, value in recipe.as_json().items()
        if setting not in ("name", "description", *idle)
    }
    for setting, value in _implied(network, recipe).items():
        settings.setdefault(setting, {"value": value, "source": document.source})
    if "batch_size" in settings and settings["batch_size"]["value"] == 0:
        settings["batch_size"] = {"value": "planned from the data", "source": document.source}
    return {
        "model": network.name,
        "challenge": challenge.name,
        "options": network.all_options,
        "recipe": recipe.name,
        "recipe_family": network.recipe_family,
        "chosen_by": reason if recipe.name == name else "--recipe",
        "description": recipe.description,
        "settings": settings,
        "start": _start(document, start),
    }


def _implied(network: NetworkPlan, recipe: Any) -> Mapping[str, str]:
    """Steps of a training that its recipe has no settings for."""
    if hasattr(recipe, "trainer"):
        names = (
            *_NNUNET,
            *(name for name in ("learning_rate", "weight_decay") if name not in recipe.as_json()),
        )
        other = recipe.trainer != DEFAULT_TRAINER
        return dict.fromkeys(names, f"as {recipe.trainer} has it") if other else _NNUNET
    return _SEQUENCES if network.form == "sequence" and network.framework is None else {}


def _start(document: Document, start: Mapping[str, Any] | None) -> dict[str, Any]:
    authors = {"authors": document.authors_start} if document.authors_start else {}
    if start is None:
        return {"value": FRESH, "source": "medbench" if authors else document.source, **authors}
    return {"value": start["start"], "source": "--init", **authors, **start}
