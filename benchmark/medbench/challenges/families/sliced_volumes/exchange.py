"""Exchange of volumes: grey slices or whole volumes for models, and label volumes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.sliced_volumes.files import SlicedVolumeRelease, Slices
from medbench.challenges.mask_sizes import ON_ITS_GRID, check_size, sized
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration, worst_slices
from medbench.core.sample import Prediction, Sample, TrainingImage, TrainingVolume, VolumeSample
from medbench.io import hdf5, images, nifti_mha
from medbench.io.gate.expected import handed_in
from medbench.io.gate.meaning import unknown_labels


class SlicedVolumeExchange(Exchange):
    """Slices or the volume in, one label volume out.

    Attributes:
        modality: what the one channel of a volume shows.
    """

    modality: ClassVar[str] = "image"

    def __init__(self, card: Card, release: SlicedVolumeRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {
            "image": Inputs(self.read_slices, self.training_images),
            "volume": Inputs(self.read_whole, self.training_volumes),
        }

    def read_slices(self, case: Case) -> Sample:
        """The volume as grey slices, ``(slices, height, width, 1)`` from 0 to 1.

        Raises:
            MedbenchError: naming the file that cannot be read.
        """
        volume = self.release.read_volume(case)
        return Sample(case, volume.array[..., np.newaxis])

    def read_whole(self, case: Case) -> VolumeSample:
        """The volume on its own grid, ``(1, slices, height, width)`` from 0 to 1.

        Raises:
            MedbenchError: naming the file that cannot be read.
        """
        return self._whole([case])

    def _whole(self, cases: Sequence[Case]) -> VolumeSample:
        """The volume of a case, or of the cases that are its slices."""
        parts = [self.release.read_volume(case) for case in cases]
        array = np.concatenate([part.array for part in parts])[np.newaxis]
        first = cases[0]
        spacing = parts[0].spacing or first.facts.get("spacing_mm")
        return VolumeSample(first, (self.modality,), array, (True,), spacing)

    def prediction_name(self, case: Case) -> str:
        """``<case>_pred.nii.gz``, labels as numbered here."""
        return f"{case.id}_pred.nii.gz"

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """``<case>.nii.gz``, or .npz or .h5 with an array ``label``."""
        return [f"{case.id}{end}" for end in (".nii.gz", ".npz", ".npy.h5", ".h5")]

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the label volume with the geometry of its image, where the image has one."""
        path = folder / self.prediction_name(case)
        like = self._geometry(case)
        labels = prediction["label_map"]
        nifti_mha.write_volume(path, Volume(labels, like.spacing, like.origin, like.direction))
        return path

    @staticmethod
    def _geometry(case: Case) -> Volume:
        path = case.inputs["image"]
        if images.suffix_of(path) in images.VOLUME_SUFFIXES:
            return nifti_mha.read_geometry(path)
        return Volume(np.zeros(0), case.facts.get("spacing_mm"))

    def read_prediction(self, path: Path, shape: tuple[int, ...] | None = None) -> Volume:
        """Predicted labels with the geometry that the file has.

        Args:
            path: the file.
            shape: of its reference, which bounds what it may take.

        Raises:
            MedbenchError: when the file is missing or damaged, ``data.size_mismatch`` for another shape than
                the reference's, ``data.label_unknown`` for other labels.
        """

        def read() -> Volume:
            if images.suffix_of(path) in hdf5.SUFFIXES:
                return Volume(hdf5.read_labels(path, "label", expected=handed_in(shape)))
            return images.read_labels(path, expected=handed_in(shape))

        if shape is None:
            volume = read()
        else:
            check = functools.partial(check_size, path, due=shape, hint=ON_ITS_GRID, of="reference")
            volume = sized(read, path, len(shape), check)
        labels = self._checked(volume.array, path)
        return Volume(labels, volume.spacing, volume.origin, volume.direction)

    def _checked(self, labels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint8]:
        """Predicted labels, the release's and nothing else."""
        structures = self.release.structures.values()
        strangers = unknown_labels(labels, [0, *structures])
        if strangers:
            raise MedbenchError(
                "data.label_unknown",
                f"{path}: holds the values {strangers}, which are no labels 0 to {max(structures)}.",
                self.release.label_hint,
            )
        return labels.astype(np.uint8)

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The slices around the one with most wrong voxels."""
        volume = self.release.read_volume(case).array
        reference = self.release.read_reference(case).array
        prediction = self.read_prediction(path, reference.shape).array
        grey = np.clip(np.rint(volume * 255), 0, 255).astype(np.uint8)
        return worst_slices(np.repeat(grey[..., np.newaxis], 3, axis=-1), reference, prediction)

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Slices, resized by splines as in the protocol, grey in three channels.

        Raises:
            MedbenchError: ``data.size_mismatch`` for label maps of another shape than their image.
        """
        cases = self.release.cases(root, split)
        self.release.refuse_other_shapes(cases)
        return [
            _training_image(slices, index)
            for case in cases
            for slices in [Slices(case, self.release.count_slices(case), self.release, cache)]
            for index in range(len(slices))
        ]

    def training_volumes(self, root: Path, split: str, cache: Path) -> list[TrainingVolume]:
        """Whole volumes with their labels; slices that a release has in files of their own are put together.

        The cache is not used.

        Raises:
            MedbenchError: ``data.size_mismatch`` for label maps of another shape than their image.
        """
        cases = self.release.cases(root, split)
        self.release.refuse_other_shapes(cases)
        by_volume: dict[str, list[Case]] = {}
        for case in cases:
            by_volume.setdefault(case.group, []).append(case)
        names = by_volume if len(by_volume) < len(cases) else {case.id: [case] for case in cases}
        return [
            TrainingVolume(
                name,
                parts[0].resampling_unit,
                functools.partial(self._learnt, parts),
                tuple(dict.fromkeys(path for part in parts for path in part.files)),
            )
            for name, parts in names.items()
        ]

    def _learnt(self, cases: Sequence[Case]) -> tuple[VolumeSample, npt.NDArray[np.uint8]]:
        labels = np.concatenate([self.release.read_reference(case).array for case in cases])
        sample = self._whole(cases)
        check_size(cases[0].reference["labels"], labels.shape, sample.volumes.shape[1:])
        return sample, labels.astype(np.uint8)


def _training_image(slices: Slices, index: int) -> TrainingImage:
    def load(size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        return slices.load(index, size)

    return TrainingImage(slices.name(index), slices.group, load, labelled=True)
