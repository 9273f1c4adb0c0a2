"""From a model's name and a challenge to a network with the right inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.inference.predictor import InputContract, Resampling
from medbench.models import create_model, model_entry

if TYPE_CHECKING:
    from torch import nn

    from medbench.models.entry import ModelEntry


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network that is decided but not yet built.

    Attributes:
        name: model name.
        entry: its card.
        options: options that differ from the defaults.
        num_classes: segmentation classes with the background.
        num_image_classes: classes of a whole picture, if the challenge asks for them.
        resampling: how the challenge's protocol resizes pictures and label maps.
    """

    name: str
    entry: ModelEntry
    options: dict[str, Any]
    num_classes: int
    num_image_classes: int | None
    resampling: Resampling = "picture"

    @property
    def folder_name(self) -> str:
        """The name as a folder."""
        return self.name.replace("/", "-")

    @property
    def entry_family(self) -> str:
        """The family whose recipes apply."""
        return self.entry.recipe_family

    def build(self) -> nn.Module:
        """A fresh network, initialised from torch's current seed."""
        return create_model(
            self.name,
            in_channels=3,
            num_classes=self.num_classes,
            **({} if self.num_image_classes is None else {"num_image_classes": self.num_image_classes}),
            **self.options,
        )

    def contract(self, image_size: int | None = None) -> InputContract:
        """How the network wants its pictures, at ``image_size`` or its published size."""
        entry = self.entry
        return InputContract(
            size=image_size or entry.image_size,
            channel_order=entry.channel_order,
            scale=entry.scale,
            mean=tuple(entry.mean),
            std=tuple(entry.std),
            resampling=self.resampling,
        )


def plan_network(model: str, challenge: Challenge, options: dict[str, Any]) -> NetworkPlan:
    """Fit a model to a challenge's classes.

    Raises:
        MedbenchError: ``model.unknown``.
    """
    classes = len(challenge.image_classes)
    return NetworkPlan(
        model,
        model_entry(model),
        dict(options),
        len(challenge.labels),
        classes or None,
        challenge.resampling,
    )
