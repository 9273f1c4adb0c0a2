"""Declared images with label maps: reading, predictions in the data set's own values, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.declared.columns import Column, score_columns, worst_scores
from medbench.challenges.declared.items import Item
from medbench.challenges.declared.release import DeclaredRelease
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.mask_sizes import RESIZE_BACK, check_size, refuse_other_sizes, sized
from medbench.challenges.scorer import Scorer
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.result_table import CaseScores
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.core.text import counted, named
from medbench.io import caches, raster
from medbench.io.gate.expected import Expected, handed_in
from medbench.io.gate.listing import check_alone
from medbench.io.gate.meaning import unknown_labels
from medbench.metrics.checks.suspicion import flags


class DeclaredImageRelease(DeclaredRelease):
    """Files of declared images with label maps."""

    def read_image(self, path: Path) -> npt.NDArray[Any]:
        """An image, ``(height, width)`` or ``(height, width, 3)``: 8 bit, or from 0 to 1 by declared values.

        Raises:
            MedbenchError: when it is missing or damaged, ``data.channels`` for another number of channels
                than declared, ``data.values`` for more than 8 bits without declared values.
        """
        check_alone(path, raster.SUFFIXES)
        image = raster.read_image(path)
        due, own = self.declaration.channels, 1 if image.ndim == 2 else image.shape[2]
        if due is not None and own != due:
            raise MedbenchError(
                "data.channels",
                f"{path}: has {_channels(own)}, {self.card.name} declares {_channels(due)}.",
                "Convert it: all images of a data set have one number of channels.",
            )
        if image.dtype == np.uint8:
            return image
        if self.declaration.values is None:
            raise MedbenchError(
                "data.values",
                f"{path}: holds {image.dtype} values, and nothing says what is black and what is white.",
                f"Add values = [least, greatest] to [data.{self.card.name}], for example [0, 65535].",
            )
        return scaled_to_one(image, self.declaration.values)

    def read_labels(self, path: Path, expected: Expected | None = None) -> npt.NDArray[np.uint8]:
        """A label map with declared values alone.

        Raises:
            MedbenchError: when it is missing, damaged or no label map, or ``data.label_unknown`` with the
                values that have no name.
        """
        return self.named_labels(raster.read_label_map(path, expected=expected), path)

    def named_labels(self, labels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint8]:
        """A label map that is read, with declared values alone.

        Raises:
            MedbenchError: ``data.label_unknown``.
        """
        if self.declaration.threshold is not None:
            structure = list(self.card.labels)[1]
            return np.where(labels > self.declaration.threshold, structure, 0).astype(np.uint8)
        strange = unknown_labels(labels, list(self.card.labels))
        if strange:
            names = ", ".join(f"{value} {name}" for value, name in self.card.labels.items())
            raise MedbenchError(
                "data.label_unknown",
                f"{path}: holds the value {strange}, which labels does not name ({names}).",
                f"Save masks with these values, or name the others under labels of [data.{self.card.name}].",
            )
        return labels.astype(np.uint8)

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference label map, with values as stored.

        Raises:
            MedbenchError: ``data.no_reference``, and as :meth:`read_labels`.
        """
        path = case.reference.get("labels")
        if path is None:
            raise MedbenchError(
                "data.no_reference", f"{case.id}: has no mask.", "Add it, or leave the image out."
            )
        check_alone(path, raster.SUFFIXES)
        return self.read_labels(path)

    def content_findings(self, items: Sequence[Item]) -> Iterator[Finding]:
        """Every image and mask; a mixture of grey and colour images."""
        channels = Counter[int]()
        names: dict[int, list[str]] = {}
        for item in items:

            def look(item: Item = item) -> Iterator[Finding]:
                image = self.read_image(next(iter(item.inputs.values())))
                count = 1 if image.ndim == 2 else image.shape[2]
                channels[count] += 1
                names.setdefault(count, []).append(item.id)
                if item.mask is None:
                    return
                mask = raster.read_label_map(item.mask)
                check_size(item.mask, mask.shape, image.shape[:2])  # first: values may come of the resizing
                if not self.named_labels(mask, item.mask).any():
                    yield Finding("note", f"{item.mask}: nothing is marked.")

            yield from findings_of(item.id, look)
        if len(channels) > 1:
            fewer = min(channels, key=lambda count: channels[count])
            parts = " and ".join(
                f"{number} with {_channels(count)}" for count, number in sorted(channels.items())
            )
            yield Finding(
                "error",
                f"Images have mixed numbers of channels: {parts}, the fewer are {named(names[fewer])}.",
                "Convert them: all images of a data set have one number of channels.",
            )


def scaled_to_one(image: npt.NDArray[Any], values: tuple[float, float]) -> npt.NDArray[np.float32]:
    """An image from 0 to 1, by the values that are black and white; what lies outside is cut off."""
    low, high = values
    intensities: npt.NDArray[np.float32] = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
    return intensities


def _channels(count: int) -> str:
    return f"{counted(count, 'channel')}{ {1: ' (grey)', 3: ' (colour)'}.get(count, '') }"


class DeclaredImageExchange(Exchange):
    """Images in; one 8-bit PNG a case out, with the data set's own values."""

    def __init__(self, card: Card, release: DeclaredImageRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}
        self.values = np.array(list(card.labels), np.uint8)

    def read_image(self, case: Case) -> Sample:
        """The image of a case, grey or colour."""
        image = self.release.read_image(next(iter(case.inputs.values())))
        return Sample(case, (image if image.ndim == 3 else image[..., np.newaxis])[np.newaxis])

    def prediction_name(self, case: Case) -> str:
        """``<case>.png``."""
        return f"{case.id}.png"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the label map with the data set's own values."""
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, self.values[prediction["label_map"][0]])
        return path

    def read_prediction(self, path: Path, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.uint8]:
        """A predicted label map with the data set's own values.

        Raises:
            MedbenchError: as :meth:`DeclaredImageRelease.read_labels`.
        """
        return self.release.read_labels(path, handed_in(shape))

    def indices(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Class indices of a label map with the data set's own values."""
        table = np.zeros(256, np.uint8)
        table[self.values] = np.arange(len(self.values))
        indices: npt.NDArray[np.uint8] = table[labels]
        return indices

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image with reference and prediction."""
        image, reference = self.read_image(case).images[0], self.release.read_reference(case)
        prediction = self.read_prediction(path, reference.shape)
        if image.dtype != np.uint8:
            image = np.rint(image * 255).astype(np.uint8)
        colour = image if image.shape[2] == 3 else np.repeat(image, 3, axis=-1)
        return [Illustration(colour, self.indices(reference), self.indices(prediction))]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Images of the split that have a mask.

        Raises:
            MedbenchError: ``data.size_mismatch`` for masks of another size than their image.
        """
        cases = [case for case in self.release.cases(root, split) if case.reference]
        refuse_other_sizes((next(iter(case.inputs.values())), case.reference["labels"]) for case in cases)
        return [self._training_image(case, cache) for case in cases]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
            path = next(iter(case.inputs.values()))
            entry = caches.place(cache, path, "declared image", size, self.release.declaration.sha256)
            image = caches.cached_array(entry, lambda: self._resized(case, size))
            labels = self.indices(self.release.read_reference(case))
            return image, raster.resize_labels(labels, size, size)

        return TrainingImage(case.id, case.resampling_unit, load, labelled=True)

    def _resized(self, case: Case, size: int) -> npt.NDArray[Any]:
        image = raster.resize_image(self.read_image(case).images[0], size, size)
        image = image if image.ndim == 3 else image[..., np.newaxis]
        return np.repeat(image, 3, axis=-1) if image.shape[2] == 1 else image


class DeclaredImageScorer(Scorer):
    """Label maps scored structure by structure, by the declared metrics."""

    def __init__(self, card: Card, exchange: DeclaredImageExchange, columns: Sequence[Column]) -> None:
        super().__init__(card)
        self.exchange, self.release, self.columns = exchange, exchange.release, columns
        self.structures: Mapping[str, int] = {name: value for value, name in list(card.labels.items())[1:]}

    @property
    def _spacing(self) -> tuple[float, ...] | str | None:
        spacing = self.release.declaration.spacing
        return None if spacing == "file" else spacing

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one label map.

        Raises:
            MedbenchError: also ``data.size_mismatch``.
        """
        reference = self.release.read_reference(case)
        prediction = sized(
            partial(self.exchange.read_prediction, path, reference.shape),
            path,
            reference.ndim,
            partial(check_size, path, due=reference.shape, hint=RESIZE_BACK, of="reference"),
        )
        scores = self.score_arrays(reference, prediction)
        return CaseScores(scores, flags(reference, prediction))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of a pair of label maps ``(height, width)`` with the data set's own values."""
        return score_columns(self.columns, self.structures, (reference, prediction), spacing or self._spacing)

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the declared rule; undefined where the reference cannot be read."""
        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in self.card.metrics), error.message)
        missing = self.release.declaration.missing
        return CaseScores(worst_scores(self.columns, reference.shape, self._spacing, status, reason, missing))
