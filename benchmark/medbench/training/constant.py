"""The framework of ``baseline/constant``: answers fitted to a training split, the same for every case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.core.sample import TrainingImage, TrainingVolume
from medbench.core.task import Form
from medbench.core.text import counted
from medbench.inference.constant_predictor import (
    BOX_CLASSES,
    BOX_CORNERS,
    BOX_SCORES,
    CLASS_SHARES,
    FRAME_SCORE,
    POINTS,
    ConstantPredictor,
)
from medbench.models.constant_answers import FREQUENCIES, THRESHOLDS, ConstantAnswers
from medbench.models.options import refuse_options
from medbench.training.constant_fit import fit_boxes, fit_classes, fit_masks, spaced
from medbench.training.cpu_time import CpuTime
from medbench.training.framework import TrainingOrder
from medbench.training.hardware import Hardware
from medbench.training.recipes import load_recipe_as
from medbench.training.result_files import WEIGHTS, is_finished, write_result

if TYPE_CHECKING:
    from medbench.inference.weights import Checkpoint

NAME = "baseline/constant"
HALF = 0.5

Numbers = dict[str, npt.NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, slots=True)
class ConstantRecipe:
    """Settings of a fit of constant answers.

    Attributes:
        name: ``default`` or ``quick``.
        description: one line for people.
        image_size: side of the grid of a mean mask.
        volume_size: side of the grid of a mean mask of volumes.
        examples: most training examples that are read, evenly spaced; classes are counted over all.
        seed: not used; the fit draws nothing.
    """

    name: str
    description: str
    image_size: int = 128
    volume_size: int = 64
    examples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("image_size", "volume_size", "examples"):
            if getattr(self, name) < 1:
                raise MedbenchError("recipe.setting", f"{NAME}: {name} must be positive.", "Give 1 or more.")

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        return dataclasses.asdict(self)

    def describe(self, spatial_dims: int) -> str:
        """Size of the fit in words."""
        return f"means over at most {counted(self.examples, 'training example')}"


class Constant:
    """The framework of the model ``baseline/constant``."""

    has_views = False

    def check(self, model: str, challenge: Challenge, options: Mapping[str, Any]) -> None:
        """Refuse options: what is fitted has none.

        Raises:
            MedbenchError: ``model.option``.
        """
        refuse_options(
            model, [(True, f"has no option '{name}'; its recipe has settings") for name in options]
        )

    def check_hardware(self, hardware: Hardware) -> None:
        """Refuse options of steps and of reading processes, which a fit does not have.

        Raises:
            MedbenchError: ``training.devices`` for several devices or passes or another precision,
                ``option.ignored`` for the others.
        """
        one = hardware.devices in (1, "auto") and hardware.nodes == hardware.passes == 1
        if not one or hardware.precision != "32":
            raise MedbenchError(
                "training.devices",
                "Constant answers are fitted on one device without steps.",
                "Leave --devices, --nodes, --precision and --accumulate out.",
            )
        options = {"--workers": bool(hardware.workers), "--fast": hardware.deterministic is False}
        for option in (name for name, is_stated in options.items() if is_stated):
            raise MedbenchError(
                "option.ignored",
                f"{option} has no effect with {NAME}, which is fitted in one process, always alike.",
                "Leave it out.",
            )

    def recipe(self, family: str, name: str, changes: Mapping[str, Any]) -> ConstantRecipe:
        """A recipe of constant answers."""
        return load_recipe_as(ConstantRecipe, family, name, changes)

    def train(self, order: TrainingOrder, hardware: Hardware, progress: Progress) -> Path:
        """Fit the answers to all tasks that the challenge demands; a finished fit is not repeated.

        Raises:
            MedbenchError: ``training.no_labels`` where the split has no example of a demanded task, and as
                the reading of its files.
        """
        import torch

        if is_finished(order.folder):
            return order.folder / WEIGHTS
        if hardware.kind != "cpu":
            progress.say(f"{NAME} is fitted on the CPU, not on {hardware.accelerator}.")
        cpu_time = CpuTime()
        fit = _Fit(order, progress)
        numbers = {name: value for task in order.challenge.card.demands for name, value in fit(task).items()}
        facts = {
            **order.facts,
            "recipe": order.recipe.as_json(),
            "n_training_images": fit.examples_read,
            "training_dice": fit.dice,
        }
        state = {name: torch.from_numpy(value.astype(np.float32)) for name, value in numbers.items()}
        return write_result(order.folder, state, facts, cpu_time.facts())

    def read_start(self, path: Path, cache: Path) -> Checkpoint:
        """Not possible: a fit starts from nothing.

        Raises:
            MedbenchError: ``training.start``.
        """
        raise MedbenchError(
            "training.start",
            f"{NAME} is fitted to the data alone and starts from no weights.",
            "Leave it out.",
        )

    def import_weights(self, path: Path, model: str, cache: Path) -> Path:
        """The file itself: there are no weights but medbench's own."""
        return path

    def predictor(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> ConstantPredictor:
        """The predictor of the fitted answers.

        Raises:
            MedbenchError: ``weights.other_labels`` for answers that were fitted to other classes,
                ``weights.other_model`` for other weights.
        """
        if checkpoint.facts.get("model") != NAME:
            raise MedbenchError(
                "weights.other_model",
                f"These are no weights of {NAME}.",
                f"Fit them: medbench train -m {NAME} -c {challenge.name}.",
            )
        due = {task: list(names) for task, names in challenge.card.demands.items()}
        if checkpoint.facts.get("classes") != due:
            raise MedbenchError(
                "weights.other_labels",
                f"These constant answers were fitted to {checkpoint.facts.get('challenge')}, whose classes "
                f"are not those of {challenge.title}.",
                f"Fit them: medbench train -m {NAME} -c {challenge.name}.",
            )
        slides = challenge.card.slide_settings
        return ConstantPredictor(
            ConstantAnswers.of(checkpoint.state), patch_px=slides.patch_px if slides else 0, device=device
        )


CONSTANT = Constant()


class _Fit:
    """The fit of one training split, task by task."""

    def __init__(self, order: TrainingOrder, progress: Progress) -> None:
        self.order = order
        self.recipe: ConstantRecipe = order.recipe
        self.progress = progress
        self.examples_read = 0
        self.dice: list[float] = []
        inputs = order.challenge.exchange.inputs
        whole: tuple[Form, ...] = ("volume", "image", "sequence")
        planes: tuple[Form, ...] = ("image", "volume", "sequence")
        forms = whole if order.challenge.card.modalities else planes
        self.form = next(form for form in forms if form in inputs)
        self.examples: Sequence[Any] = inputs[self.form].examples(order.root, order.split, order.cache)

    def __call__(self, task: str) -> Numbers:
        return _FITS[task](self)

    def masks(self) -> Numbers:
        examples = self._spaced([example for example in self.examples if getattr(example, "labelled", True)])
        masks = self._read(examples, self._volume if self.form == "volume" else self._image)
        frequencies, thresholds, dice = fit_masks(masks, len(self.order.challenge.card.demands["label_map"]))
        self.dice = [round(value, 6) for value in dice]
        return {FREQUENCIES: frequencies, THRESHOLDS: thresholds}

    def _image(self, example: TrainingImage) -> npt.NDArray[np.uint8]:
        _, labels = example.load(self.recipe.image_size)
        assert labels is not None, "labelled examples have a label map"
        return labels

    def _volume(self, example: TrainingVolume) -> npt.NDArray[np.uint8]:
        _, labels = example.load()
        side = self.recipe.volume_size
        places = [((np.arange(side) + 0.5) * length / side).astype(int) for length in labels.shape]
        return np.asarray(labels[np.ix_(*places)], np.uint8)

    def classes(self) -> Numbers:
        own = [example.image_class for example in self.examples if example.image_class is not None]
        self.examples_read = max(self.examples_read, len(own))
        return {CLASS_SHARES: fit_classes(own, len(self.order.challenge.card.demands["image_classes"]))}

    def boxes(self) -> Numbers:
        examples = self._spaced(self.examples)
        corners, scores, classes = fit_boxes(self._read(examples, lambda example: example.boxes()))
        return {BOX_CORNERS: corners, BOX_SCORES: scores, BOX_CLASSES: classes}

    def landmarks(self) -> Numbers:
        examples = self._spaced([example for example in self.examples if example.landmarks is not None])
        return {POINTS: np.mean(self._read(examples, lambda example: example.landmarks()), axis=0)}

    def frames(self) -> Numbers:
        self.examples_read = len(self.examples)
        return {FRAME_SCORE: np.array([HALF])}

    def _spaced(self, examples: Sequence[Any]) -> Sequence[Any]:
        if not examples:
            raise MedbenchError(
                "training.no_labels",
                f"{self.order.root}: split {self.order.split} has no example with a reference.",
                "Check the training split.",
            )
        return [examples[index] for index in spaced(len(examples), self.recipe.examples)]

    def _read(self, examples: Sequence[Any], read: Callable[[Any], Any]) -> list[Any]:
        self.progress.start("reading", len(examples))
        parts = []
        for example in examples:
            parts.append(read(example))
            self.progress.advance(1, example.id)
        self.progress.finish()
        self.examples_read = max(self.examples_read, len(examples))
        return parts


_FITS: Mapping[str, Callable[[_Fit], Numbers]] = {
    "label_map": _Fit.masks,
    "image_classes": _Fit.classes,
    "boxes": _Fit.boxes,
    "frame_scores": _Fit.frames,
    "landmarks": _Fit.landmarks,
}
