"""What a program that plans, trains and predicts by itself must offer to stand among the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medbench.inference.predictor import Predictor

if TYPE_CHECKING:
    from torch import nn

    from medbench.challenges.base import Challenge
    from medbench.core.progress import Progress
    from medbench.inference.weights import Checkpoint
    from medbench.training.fit import Hardware


class FrameworkRecipe(Protocol):
    """How a framework is to train.

    Attributes:
        name: ``default``, ``quick``, ``official`` …
        seed: of everything that is drawn.
    """

    @property
    def name(self) -> str:
        """Name of the recipe."""
        ...

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        ...

    def describe(self, spatial_dims: int) -> str:
        """How long and how large it trains, in words."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training that is decided.

    Attributes:
        challenge: what to learn.
        root: its data.
        split: the training split.
        options: of the model, with those that its variant fixes.
        recipe: how.
        folder: where state and weights go.
        cache: for decoded images.
        facts: stored with the weights.
    """

    challenge: Challenge
    root: Path
    split: str
    options: Mapping[str, Any]
    recipe: Any
    folder: Path
    cache: Path
    facts: Mapping[str, Any]


class FrameworkPredictor(Predictor, Protocol):
    """A predictor with the network that it predicts with.

    Attributes:
        network: one network, where several folds are averaged; its parameters are counted.
    """

    network: nn.Module


class Framework(Protocol):
    """A program with its own planning, training and prediction, such as nnU-Net."""

    def check(self, model: str, challenge: Challenge, options: Mapping[str, Any]) -> None:
        """Refuse challenges and options that it cannot serve.

        Raises:
            MedbenchError: in one line.
        """
        ...

    def recipe(self, family: str, name: str, changes: Mapping[str, Any]) -> FrameworkRecipe:
        """A recipe by name with some settings changed.

        Raises:
            MedbenchError: ``recipe.unknown`` or ``recipe.setting``.
        """
        ...

    def train(self, lesson: Lesson, hardware: Hardware, progress: Progress) -> Path:
        """Train, or go on, and leave ``weights.pt`` and ``training.json`` in the lesson's folder.

        Raises:
            MedbenchError: when it cannot be done.
        """
        ...

    def take_in(self, path: Path, model: str, cache: Path) -> Path:
        """A checkpoint file of ours with what the framework's own folder or archive holds.

        Files of ours are returned as they are.

        Raises:
            MedbenchError: for what is no such folder or archive, or holds more than plain data.
        """
        ...

    def predictor(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> FrameworkPredictor:
        """Whatever answers the challenge's samples.

        Raises:
            MedbenchError: when the weights were made for other labels or channels.
        """
        ...
