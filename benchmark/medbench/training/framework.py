"""The interface of frameworks: programs that plan, train and predict by themselves, such as nnU-Net."""

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
    from medbench.training.hardware import Hardware


class FrameworkRecipe(Protocol):
    """A recipe of a framework.

    Attributes:
        name: ``default``, ``quick``, ``official`` …
        seed: of all random numbers.
    """

    @property
    def name(self) -> str:
        """Name of the recipe."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        ...

    def describe(self, spatial_dims: int) -> str:
        """Length and size of the training, in words."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """All that a framework needs to know of a training.

    Attributes:
        challenge: challenge of the training data.
        root: folder of the challenge's data.
        split: the training split.
        options: of the model, with those that its variant fixes.
        recipe: settings of the training.
        folder: for state and weights.
        cache: for decoded images.
        facts: to store with the weights.
        start: a :class:`medbench.running.start.Start`; ``None`` for fresh weights.
    """

    challenge: Challenge
    root: Path
    split: str
    options: Mapping[str, Any]
    recipe: Any
    folder: Path
    cache: Path
    facts: Mapping[str, Any]
    start: Any = None


class FrameworkPredictor(Predictor, Protocol):
    """A predictor that gives access to its network.

    Attributes:
        network: the network, or one of several folds; its parameters are counted.
    """

    network: nn.Module


class Framework(Protocol):
    """A program with planning, training and prediction of its own.

    Attributes:
        has_views: whether it predicts by windows that may overlap and by mirrored views.
    """

    has_views: bool

    def check(self, model: str, challenge: Challenge, options: Mapping[str, Any]) -> None:
        """Refuse challenges and options that the framework cannot serve.

        Raises:
            MedbenchError: naming what does not fit.
        """
        ...

    def check_hardware(self, hardware: Hardware) -> None:
        """Refuse devices, precision or reading processes, as asked for, that the framework cannot use.

        Raises:
            MedbenchError: naming the option.
        """
        ...

    def recipe(self, family: str, name: str, changes: Mapping[str, Any]) -> FrameworkRecipe:
        """A recipe by name with some settings changed.

        Raises:
            MedbenchError: ``recipe.unknown`` or ``recipe.setting``.
        """
        ...

    def train(self, order: TrainingOrder, hardware: Hardware, progress: Progress) -> Path:
        """Train, or resume, and write ``weights.pt`` and ``training.json`` into the order's folder.

        Raises:
            MedbenchError: when the training fails.
        """
        ...

    def import_weights(self, path: Path, model: str, cache: Path) -> Path:
        """A medbench checkpoint with the weights in a folder or archive of the framework.

        A medbench checkpoint is returned as it is.

        Raises:
            MedbenchError: for a path that is neither, or holds more than plain data.
        """
        ...

    def read_start(self, path: Path, cache: Path) -> Checkpoint:
        """Weights to start a training from, of the framework's own files or of medbench's.

        Raises:
            MedbenchError: for a path that is neither, or holds more than plain data.
        """
        ...

    def predictor(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> FrameworkPredictor:
        """The predictor of the challenge's samples.

        Raises:
            MedbenchError: when the weights were made for other labels or channels.
        """
        ...
