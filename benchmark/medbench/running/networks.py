"""From a model's name and a challenge to a network with the right inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object
from medbench.inference.predictor import InputContract, Resampling
from medbench.inference.volumes import VolumeContract
from medbench.models import create_model, model_entry

if TYPE_CHECKING:
    from torch import nn

    from medbench.models.entry import ModelEntry
    from medbench.training.framework import Framework


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network that is decided but not yet built.

    Attributes:
        name: model name.
        entry: its card; a framework's has the challenge's number of axes.
        options: options that differ from the defaults.
        num_classes: segmentation classes with the background.
        num_image_classes: classes of a whole picture, if the challenge asks for them.
        resampling: how the challenge's protocol resizes pictures and label maps.
        in_channels: three for pictures; the challenge's sequences for volumes.
    """

    name: str
    entry: ModelEntry
    options: dict[str, Any]
    num_classes: int
    num_image_classes: int | None
    resampling: Resampling = "picture"
    in_channels: int = 3

    @property
    def folder_name(self) -> str:
        """The name as a folder."""
        return self.name.replace("/", "-")

    @property
    def entry_family(self) -> str:
        """The family whose recipes apply."""
        return self.entry.recipe_family

    @property
    def framework(self) -> Framework | None:
        """What plans, trains and predicts in our stead, for models of that kind."""
        return load_object(self.entry.framework) if self.entry.framework else None

    @property
    def all_options(self) -> dict[str, Any]:
        """Options with those that the variant fixes."""
        return {**self.entry.fixed_options, **self.options}

    def build(self) -> nn.Module:
        """A fresh network, initialised from torch's current seed."""
        return create_model(
            self.name,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
            **({} if self.num_image_classes is None else {"num_image_classes": self.num_image_classes}),
            **self.options,
        )

    @property
    def sees_volumes(self) -> bool:
        """Whether it is a three-dimensional network."""
        return self.entry.spatial_dims == 3

    def volume_contract(self, image_size: int | None = None) -> VolumeContract:
        """How a three-dimensional network wants its volumes, with windows of ``image_size``."""
        entry = self.entry
        size = image_size or entry.image_size
        return VolumeContract(size, entry.background, entry.blending, entry.modality_mask)

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
    """Fit a model to a challenge's classes and channels.

    Raises:
        MedbenchError: ``model.unknown``, ``model.task`` for one that makes no label maps, or
            ``challenge.no_volumes``.
    """
    classes = len(challenge.image_classes)
    entry = model_entry(model)
    if "segmentation" not in entry.tasks:
        raise MedbenchError(
            "model.task",
            f"{entry.title} ({model}) does {', '.join(entry.tasks)}; {challenge.title} asks for label maps.",
            "Choose a model that segments; 'medbench models' lists what each does.",
        )
    if entry.framework:
        framework: Framework = load_object(entry.framework)
        framework.check(model, challenge, {**entry.fixed_options, **options})
        entry = replace(entry, spatial_dims=3 if challenge.modalities else 2)
    if entry.spatial_dims == 3 and not challenge.modalities:
        raise challenge.no_volumes()
    return NetworkPlan(
        model,
        entry,
        dict(options),
        len(challenge.labels),
        classes or None,
        challenge.resampling,
        len(challenge.modalities) if entry.spatial_dims == 3 else 3,
    )
