"""Samples of MR volumes, whole or slice by slice, and files of predicted label maps."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.mr_volumes.files import MRVolumeRelease
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration, worst_slices
from medbench.core.sample import Prediction, Sample, TrainingImage, TrainingVolume, VolumeSample
from medbench.io import caches, nifti_mha
from medbench.io.gate.expected import handed_in
from medbench.io.geometry import ONE_GRID, check_geometry


class MRVolumeExchange(Exchange):
    """Reads slices or volumes; writes one NIfTI label map per case.

    Class indices are positions in the card's labels.

    Attributes:
        channels: the three modalities that are channels of a slice for two-dimensional networks; the channel
            of a missing modality is zero.
    """

    channels: ClassVar[tuple[str, str, str]]

    def __init__(self, card: Card, release: MRVolumeRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {
            "image": Inputs(self.read_slices, self.training_images),
            "volume": Inputs(self.read_volume, self.training_volumes),
        }

    def read_slices(self, case: Case) -> Sample:
        """Slices ``(z, y, x, 3)``, 8 bit, each modality scaled as by :func:`eight_bit`.

        Raises:
            MedbenchError: as :meth:`MRVolumeRelease.read_modalities`, or ``data.no_channel``.
        """
        slices = self._slices(case)
        if not set(case.inputs) & set(self.channels):
            raise MedbenchError(
                "data.no_channel",
                f"{case.id}: a two-dimensional network sees {', '.join(self.channels)} alone, and the case "
                "has none of these modalities.",
                "Choose a three-dimensional model, or other modalities.",
            )
        return Sample(case, slices)

    def _slices(self, case: Case) -> npt.NDArray[np.uint8]:
        volumes = self.release.read_modalities(case)
        empty = np.zeros(next(iter(volumes.values())).shape, np.uint8)
        channels = [eight_bit(volumes[name].array) if name in volumes else empty for name in self.channels]
        return np.stack(channels, axis=-1)

    def read_volume(self, case: Case) -> VolumeSample:
        """The modalities as stored; the channel of a missing modality is zero, and ``present`` says so.

        Raises:
            MedbenchError: as :meth:`MRVolumeRelease.read_modalities`.
        """
        volumes = self.release.read_modalities(case)
        first = next(iter(volumes.values()))
        kind = np.result_type(*(volume.array.dtype for volume in volumes.values()))
        modalities = tuple(self.card.modalities)
        array = np.zeros((len(modalities), *first.shape), kind)
        for channel, name in enumerate(modalities):
            if name in volumes:
                array[channel] = volumes.pop(name).array
        return VolumeSample(case, modalities, array, self._present(case), first.spacing)

    def _present(self, case: Case) -> tuple[bool, ...]:
        return tuple(name in case.inputs for name in self.card.modalities)

    def prediction_name(self, case: Case) -> str:
        """``<case>.nii.gz``."""
        return f"{case.id}.nii.gz"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write a label map with the challenge's values and the geometry of the case's first modality."""
        labels = self.card.labels
        values = np.array(list(labels), np.min_scalar_type(max(labels)))
        if values.dtype == np.uint16:
            values = values.astype(np.int16)
        grid = self.grid(case)
        path = folder / self.prediction_name(case)
        label_map = values[prediction["label_map"]]
        nifti_mha.write_volume(path, Volume(label_map, grid.spacing, grid.origin, grid.direction))
        return path

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The slices around the one with most wrong voxels."""
        reference = self.release.read_reference(case).array
        prediction = self.release.read_labels(path, handed_in(reference.shape)).array
        slices = self._slices(case) if case.inputs else np.zeros((*reference.shape, 3), np.uint8)
        return worst_slices(slices, reference, prediction)

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Slices that are not empty, each with its label map."""
        examples = []
        for case in self._labelled_cases(root, split):
            arrays = self._arrays(case, cache)
            slices = caches.mapped_array(arrays[0])
            examples += [
                TrainingImage(f"{case.id}#{z}", case.group, functools.partial(_slice, arrays, z), True)
                for z in range(len(slices))
                if slices[z].any()
            ]
        return examples

    def training_volumes(self, root: Path, split: str, cache: Path) -> list[TrainingVolume]:
        """Whole cases with class indices; the cache is not used.

        Raises:
            MedbenchError: ``data.geometry`` for a reference on another grid than its images.
        """
        cases = self._labelled_cases(root, split)
        for case in cases:
            self._check_grid(case, nifti_mha.read_geometry(case.reference["labels"]))
        return [
            TrainingVolume(
                case.id,
                case.group,
                functools.partial(self._volume_and_indices, case),
                case.files,
                self._present(case),
            )
            for case in cases
        ]

    def _labelled_cases(self, root: Path, split: str) -> list[Case]:
        return [case for case in self.release.cases(root, split) if case.reference and case.inputs]

    def _volume_and_indices(self, case: Case) -> tuple[VolumeSample, npt.NDArray[np.uint8]]:
        return self.read_volume(case), self._indices(case)

    def _indices(self, case: Case) -> npt.NDArray[np.uint8]:
        """Class indices of the reference, on the grid of the images."""
        reference = self.release.read_reference(case)
        self._check_grid(case, reference)
        labels = self.card.labels
        table = np.zeros(max(labels) + 1, np.uint8)
        table[list(labels)] = np.arange(len(labels))
        indices: npt.NDArray[np.uint8] = table[reference.array]
        return indices

    def grid(self, case: Case) -> Volume:
        """The grid of a case's images: that of the first modality, with an array that holds no memory."""
        return nifti_mha.read_geometry(next(iter(case.inputs.values())))

    def _check_grid(self, case: Case, reference: Volume) -> None:
        check_geometry(self.grid(case), reference, str(case.reference["labels"]), "the reference", ONE_GRID)

    def _arrays(self, case: Case, cache: Path) -> tuple[Path, Path]:
        """Paths of slices and class indices of a case as arrays to map into memory, made once."""
        first, *others = case.files
        settings = "slices", self.card.name, [caches.content_sha256(path) for path in others]
        images, labels = (caches.place(cache, first, *settings, kind) for kind in ("images", "labels"))
        caches.cached_array(images, lambda: self._slices(case), memory_map=True)
        caches.cached_array(labels, lambda: self._indices(case), memory_map=True)
        return images, labels


def eight_bit(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A modality in 8 bits: 1 to 255 from the 0.5 to the 99.5 % quantile of voxels that are not 0, else 0."""
    low, high = np.percentile(array[array != 0], (0.5, 99.5))
    intensities = np.clip((array.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    grey: npt.NDArray[np.uint8] = np.where(array != 0, np.rint(1 + 254 * intensities), 0).astype(np.uint8)
    return grey


def _slice(
    arrays: tuple[Path, Path], z: int, size: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    from medbench.io.raster import resize_image, resize_labels

    image, labels = (caches.mapped_array(path)[z] for path in arrays)
    return resize_image(np.array(image), size, size), resize_labels(np.array(labels), size, size)
