"""What challenges of label maps on MR sequences share: reading, learning from slices and volumes, writing."""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.core.result_table import CaseScores
from medbench.core.sample import Prediction, Sample, TrainingImage, TrainingVolume, VolumeSample
from medbench.io import nifti_mha
from medbench.io.geometry import ONE_GRID, check_geometry

TWICE = "second file of a sequence"


class SequenceChallenge(Challenge):
    """A case has some of :attr:`modalities` as volumes on one grid, and a label map on the same.

    Two-dimensional networks see its slices with three of the sequences as their channels; a file that is not
    there is an empty channel. Class indices are positions in :attr:`labels`.

    Attributes:
        channels: those three.
    """

    channels: ClassVar[tuple[str, str, str]]

    @abc.abstractmethod
    def read_labels(self, path: Path) -> Volume:
        """A label map with known labels only, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when it is damaged, not 3-D or holds unknown labels.
        """

    def read_reference(self, case: Case) -> Volume:
        """The case's label map, axes ``(z, y, x)``.

        Raises:
            MedbenchError: ``data.no_reference``, and as :meth:`read_labels`.
        """
        if "labels" not in case.reference:
            raise MedbenchError("data.no_reference", f"{case.id}: has no label map.", self.data_hint)
        return self.read_labels(case.reference["labels"])

    def read_sequences(self, case: Case) -> dict[str, Volume]:
        """The sequences that the case has, on one grid, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when there is none, or a file is damaged, empty, not 3-D or on another grid.
        """
        if not case.inputs:
            raise MedbenchError("data.no_input", f"{case.id}: there are no images of it.", self.data_hint)
        if TWICE in case.facts:
            raise MedbenchError(
                "data.sequence_twice",
                f"{case.facts[TWICE]}: is the second file of its sequence, of which one is due.",
                "Take one of them away.",
            )
        found: dict[str, Volume] = {}
        first = next(iter(case.inputs.values()))
        for modality, path in case.inputs.items():
            volume = nifti_mha.read_volume(path)
            check_axes(volume, path)
            if not volume.array.any():
                raise MedbenchError(
                    "data.all_zero", f"{path}: every voxel is 0.", "Copy it again from its source."
                )
            grid = next(iter(found.values()), volume)
            check_geometry(grid, volume, str(path), f"this sequence, unlike {first.name},", ONE_GRID)
            found[modality] = volume
        return found

    def read(self, case: Case) -> Sample:
        """Slices ``(z, y, x, 3)``, 8 bit, each sequence scaled to the 0.5 to 99.5 % of what is not 0.

        Raises:
            MedbenchError: as :meth:`read_sequences`, or ``data.no_channel``.
        """
        pictures = self._pictures(case)
        if not set(case.inputs) & set(self.channels):
            raise MedbenchError(
                "data.no_channel",
                f"{case.id}: a two-dimensional network sees {', '.join(self.channels)} alone, and none of "
                "them is there.",
                "Choose a three-dimensional model, or other sequences.",
            )
        return Sample(case, pictures, frozenset({"labels"}))

    def _pictures(self, case: Case) -> npt.NDArray[np.uint8]:
        volumes = self.read_sequences(case)
        empty = np.zeros(next(iter(volumes.values())).shape, np.uint8)
        channels = [eight_bit(volumes[name].array) if name in volumes else empty for name in self.channels]
        return np.stack(channels, axis=-1)

    def read_volumes(self, case: Case) -> VolumeSample:
        """The sequences as stored; those without a file are zero and marked.

        Raises:
            MedbenchError: as :meth:`read_sequences`.
        """
        volumes = self.read_sequences(case)
        first = next(iter(volumes.values()))
        kind = np.result_type(*(volume.array.dtype for volume in volumes.values()))
        stacked = np.zeros((len(self.modalities), *first.shape), kind)
        for channel, name in enumerate(self.modalities):
            if name in volumes:
                stacked[channel] = volumes.pop(name).array
        present = tuple(name in case.inputs for name in self.modalities)
        return VolumeSample(case, tuple(self.modalities), stacked, present, first.spacing)

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the challenge's own labels in the geometry of the case's first sequence."""
        assert prediction.labels is not None
        values = np.array(list(self.labels), np.min_scalar_type(max(self.labels)))
        if values.dtype == np.uint16:
            values = values.astype(np.int16)
        grid = nifti_mha.read_geometry(next(iter(case.inputs.values())))
        path = folder / self.prediction_name(case)
        labels = values[prediction.labels]
        nifti_mha.write_volume(path, Volume(labels, grid.spacing, grid.origin, grid.direction))
        return path

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """The scores of a label map on the reference's grid.

        Raises:
            MedbenchError: also when size or geometry of the prediction is not the reference's.
        """
        reference, prediction = self.read_reference(case), self.read_labels(path)
        check_geometry(reference, prediction, str(path))
        return CaseScores(self.score_arrays(reference.array, prediction.array, prediction.spacing))

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The slice with most of the reference's structures."""
        reference, prediction = self.read_reference(case).array, self.read_labels(path).array
        z = int((reference > 0).sum(axis=(1, 2)).argmax())
        pictures = self._pictures(case) if case.inputs else np.zeros((*reference.shape, 3), np.uint8)
        return pictures[z], reference[z], prediction[z]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Slices that show anything, each with its label map."""
        images = []
        for case in self._to_learn(root, split):
            kept = self._kept(case, cache)
            pictures = np.load(kept[0], mmap_mode="r")
            images += [
                TrainingImage(f"{case.id}#{z}", case.group, functools.partial(_slice, kept, z), True)
                for z in range(len(pictures))
                if pictures[z].any()
            ]
        return images

    def training_volumes(self, root: Path, split: str) -> list[TrainingVolume]:
        """Whole cases with class indices."""
        return [
            TrainingVolume(
                case.id,
                case.group,
                functools.partial(self._lesson, case),
                _files(case),
                tuple(name in case.inputs for name in self.modalities),
            )
            for case in self._to_learn(root, split)
        ]

    def _to_learn(self, root: Path, split: str) -> list[Case]:
        return [case for case in self.cases(root, split) if case.reference and case.inputs]

    def _lesson(self, case: Case) -> tuple[VolumeSample, npt.NDArray[np.uint8]]:
        return self.read_volumes(case), self._indices(case)

    def _indices(self, case: Case) -> npt.NDArray[np.uint8]:
        """Class indices of the reference, on the grid of the images."""
        reference = self.read_reference(case)
        grid = nifti_mha.read_geometry(next(iter(case.inputs.values())))
        check_geometry(grid, reference, str(case.reference["labels"]), "the reference", ONE_GRID)
        table = np.zeros(max(self.labels) + 1, np.uint8)
        table[list(self.labels)] = np.arange(len(self.labels))
        indices: npt.NDArray[np.uint8] = table[reference.array]
        return indices

    def _kept(self, case: Case, cache: Path) -> tuple[Path, Path]:
        """Slices and label indices of a case as memory-mappable arrays, made once."""
        states = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in _files(case)]
        key = sha256_json(["slices-1", self.name, states])[:16]
        paths = cache / f"{case.id}-{key}-images.npy", cache / f"{case.id}-{key}-labels.npy"
        if not all(path.exists() for path in paths):
            for path, array in zip(paths, (self._pictures(case), self._indices(case)), strict=True):
                with atomic_path(path) as temporary:
                    np.save(temporary, array)
        return paths


def check_axes(volume: Volume, path: Path) -> None:
    """Refuse what is not 3-D.

    Raises:
        MedbenchError: ``data.not_3d``.
    """
    if volume.array.ndim != 3:
        raise MedbenchError(
            "data.not_3d",
            f"{path}: has {volume.array.ndim} axes {volume.shape}, not three.",
            "Each sequence and each label map is a 3-D NIfTI of its own.",
        )


def check_labels(volume: Volume, path: Path, known: Sequence[int], title: str, advice: str) -> None:
    """Refuse labels that the challenge does not have.

    Raises:
        MedbenchError: ``data.label_unknown`` with the labels found.
    """
    strange = [int(value) for value in np.unique(volume.array) if int(value) not in known]
    if strange:
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds label {', '.join(map(str, strange[:8]))}, which {title} does not have "
            f"({', '.join(map(str, known))}).",
            advice,
        )


def eight_bit(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A sequence scaled to the 0.5 to 99.5 % of what is not 0: 1 to 255, and 0 where it is 0."""
    low, high = np.percentile(array[array != 0], (0.5, 99.5))
    scaled = np.clip((array.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    grey: npt.NDArray[np.uint8] = np.where(array != 0, np.rint(1 + 254 * scaled), 0).astype(np.uint8)
    return grey


def _files(case: Case) -> tuple[Path, ...]:
    return (*case.inputs.values(), *case.reference.values())


def _slice(
    kept: tuple[Path, Path], z: int, size: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    from medbench.io.raster import resize_labels, resize_picture

    picture, labels = (np.load(path, mmap_mode="r")[z] for path in kept)
    return resize_picture(np.array(picture), size, size), resize_labels(np.array(labels), size, size)
