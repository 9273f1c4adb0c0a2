"""How networks that see sequences are trained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from medbench.core.text import counted
from medbench.training.recipes.checking import check_settings

LossName = Literal["bce", "mse", "focal", "jaccard", "power_jaccard", "tversky", "focal_tversky"]


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceRecipe:
    """Everything that decides how a network that sees sequences is trained; one step a video.

    Attributes:
        name: ``default``, ``quick``, ``published`` …
        description: one line for people.
        epochs: passes over the training videos.
        learning_rate: peak rate of Adam.
        weight_decay: of Adam.
        schedule: of the learning rate, over all steps.
        loss: see :func:`medbench.training.summary_losses.summary_loss`.
        smooth: of the loss ``jaccard``.
        gradient_clip: largest norm of the whole gradient; 0 does not clip.
        validation: ``by_group`` holds out a fifth of the videos and keeps the epoch that scores best on them;
            ``test_split`` keeps the epoch that scores best on the very split that is reported, as the
            authors' program does: results are marked and never ranked; ``none`` keeps the last epoch.
        least_steps: where videos are few there are more epochs, so as to come to this many steps.
        seed: of the initial weights, the order of the videos and dropout.
    """

    name: str
    description: str
    epochs: int
    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "one_cycle"] = "constant"
    loss: LossName = "bce"
    smooth: float = 100.0
    gradient_clip: float = 0.0
    validation: Literal["none", "by_group", "test_split"] = "none"
    least_steps: int = 0
    seed: int = 2021

    def __post_init__(self) -> None:
        check_settings(self)

    def epochs_of(self, steps_per_epoch: int) -> int:
        """Epochs of so many steps each, at least :attr:`least_steps` steps in all."""
        return max(self.epochs, math.ceil(self.least_steps / steps_per_epoch))

    @property
    def length(self) -> str:
        """How long it trains, in words."""
        epochs = counted(self.epochs, "epoch")
        return (
            f"{epochs} or {counted(self.least_steps, 'step')}, whichever is more"
            if self.least_steps
            else epochs
        )

    def describe(self, spatial_dims: int) -> str:
        """How long it trains, in words."""
        return f"{self.length}, one video a step"

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        return dataclasses.asdict(self)
