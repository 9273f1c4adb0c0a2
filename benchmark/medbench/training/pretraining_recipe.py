"""Recipes of pre-training on pairs of image and report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.training.recipes import load_recipe_as
from medbench.training.recipes.checking import check_settings


@dataclasses.dataclass(frozen=True, slots=True)
class PretrainingRecipe:
    """Settings of a pre-training in two stages.

    Attributes:
        name: ``default``, ``quick`` …
        description: one line for people.
        image_size: side of the square images in pixels, cropped from squares 8/7 as large.
        batch_size: pairs of a step, over all devices.
        epochs: passes over the pairs in the first stage, alignment.
        second_epochs: passes in the second stage, with reconstruction; 0 for none.
        learning_rate: peak rate of Adam, in each stage.
        weight_decay: of Adam.
        warmup_epochs: in which the rate rises from ``first_rate``; then it falls as half a cosine to 0.
        max_tokens: longest report in tokens; what is longer is cut.
        first_rate: rate at the beginning of each stage.
        network: options of the network that the recipe sets.
        seed: of the initial weights, the order, the crops, the masks and the clusters.
    """

    name: str
    description: str
    image_size: int
    batch_size: int
    epochs: int
    second_epochs: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    max_tokens: int
    first_rate: float = 1e-7
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 42

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def framed_size(self) -> int:
        """Side of the squares that images are cropped from, in pixels."""
        return round(self.image_size * 256 / 224)

    def rate_at(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Share of the peak rate at a step of a stage.

        >>> recipe = load_pretraining_recipe("default", {})
        >>> round(recipe.rate_at(0, 10, 10), 3), recipe.rate_at(10, 10, 10), recipe.rate_at(100, 10, 10)
        (0.01, 1.0, 0.0)
        """
        warmup = self.warmup_epochs * steps_per_epoch
        first = self.first_rate / self.learning_rate
        if step < warmup:
            return first + (1 - first) * step / warmup
        share = (step - warmup) / max(1.0, epochs * steps_per_epoch - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        return dataclasses.asdict(self)


FAMILY = "cm_cgns_pretraining"


def load_pretraining_recipe(name: str, changes: Mapping[str, Any]) -> PretrainingRecipe:
    """A recipe by name with some settings changed.

    Raises:
        MedbenchError: ``recipe.unknown`` or ``recipe.setting``.
    """
    if "network" in changes:
        raise MedbenchError(
            "recipe.setting", "network is no setting to change.", "Set options of the network by --set."
        )
    recipe = load_recipe_as(PretrainingRecipe, FAMILY, name, changes)
    if recipe.max_tokens < 1:
        raise MedbenchError("recipe.setting", "max_tokens=0 is below 1.", "Give 1 or more.")
    if recipe.learning_rate <= 0:
        raise MedbenchError("recipe.setting", "learning_rate is not positive.", "Give more than 0.")
    return recipe
