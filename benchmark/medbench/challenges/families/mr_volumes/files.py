"""Files of a release of MR volumes with label maps: reading and checks."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from medbench.challenges.mask_sizes import ON_ITS_GRID, check_size, sized
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing
from medbench.io import images, nifti_mha
from medbench.io.gate.expected import Expected
from medbench.io.gate.listing import check_alone, is_metadata
from medbench.io.gate.meaning import unknown_labels
from medbench.io.geometry import ONE_GRID, check_geometry

TWICE = "second file of a modality"


class MRVolumeRelease(Release):
    """Files of a release of MR volumes with label maps.

    Attributes:
        label_advice: hint of the error for labels that the challenge does not have.
    """

    label_advice: ClassVar[str]

    def read_labels(self, path: Path, expected: Expected | None = None) -> Volume:
        """A label map with labels of the card, axes ``(z, y, x)``.

        Args:
            path: the file.
            expected: whose file it is, and what it may take.

        Raises:
            MedbenchError: when it is damaged, not 3-D or holds unknown labels, and ``data.size_mismatch`` for
                a prediction of another size than its reference.
        """
        if expected is None:
            check_alone(path, images.VOLUME_SUFFIXES)
        read = partial(images.read_labels, path, expected=expected)
        if expected is None or expected.shape is None:
            volume = read()
        else:
            check = partial(check_size, path, due=expected.shape, hint=ON_ITS_GRID, of="reference")
            volume = sized(read, path, len(expected.shape), check)
        check_axes(volume, path)
        check_labels(volume, path, tuple(self.card.labels), self.card.title, self.label_advice)
        return volume

    def read_reference(self, case: Case) -> Volume:
        """The case's label map, axes ``(z, y, x)``.

        Raises:
            MedbenchError: ``data.no_reference``, and as :meth:`read_labels`.
        """
        if "labels" not in case.reference:
            raise MedbenchError("data.no_reference", f"{case.id}: has no label map.", self.data_hint)
        return self.read_labels(case.reference["labels"])

    def read_modalities(self, case: Case) -> dict[str, Volume]:
        """The modalities that the case has, on one grid, axes ``(z, y, x)``.

        Raises:
            MedbenchError: when there is none, or a file is damaged, empty, not 3-D or on another grid.
        """
        if not case.inputs:
            raise MedbenchError("data.no_input", f"{case.id}: has no image of any modality.", self.data_hint)
        if TWICE in case.facts:
            raise MedbenchError(
                "data.modality_twice",
                f"{case.facts[TWICE]}: is the second file of its modality in one case.",
                "Remove one of the two files.",
            )
        volumes: dict[str, Volume] = {}
        first = next(iter(case.inputs.values()))
        for modality, path in case.inputs.items():
            check_alone(path, images.VOLUME_SUFFIXES)
            volume = nifti_mha.read_volume(path)
            check_axes(volume, path)
            if not volume.array.any():
                raise MedbenchError(
                    "data.all_zero", f"{path}: every voxel is 0.", "Copy it again from its source."
                )
            grid = next(iter(volumes.values()), volume)
            check_geometry(grid, volume, str(path), f"this modality, unlike {first.name},", ONE_GRID)
            volumes[modality] = volume
        return volumes

    def check_case(self, case: Case) -> Iterator[Finding]:
        """Findings on the files of one case."""
        missing = sorted(set(self.card.modalities) - set(case.inputs))
        if missing:
            yield Finding("warning", f"{case.id}: has no {', '.join(missing)}.")
        try:
            grid = next(iter(self.read_modalities(case).values())) if case.inputs else None
            if not case.reference:
                yield from self.check_unlabelled(case)
                return
            reference = self.read_reference(case)
            if grid is not None:
                check_geometry(grid, reference, str(case.reference["labels"]), "the reference", ONE_GRID)
            yield from self.check_reference(case, reference)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)

    @abc.abstractmethod
    def check_unlabelled(self, case: Case) -> Iterator[Finding]:
        """Findings on a case without a label map."""

    @abc.abstractmethod
    def check_reference(self, case: Case, reference: Volume) -> Iterator[Finding]:
        """Findings on a readable label map."""


def volume_files(folder: Path, *, below: bool = False) -> list[Path]:
    """Volumes of every type that is read, in the order of their paths, metadata of file systems left out.

    Args:
        folder: where to look.
        below: whether to look into its folders too.
    """
    return sorted(
        path
        for path in (folder.rglob("*") if below else folder.glob("*"))
        if images.suffix_of(path) in images.VOLUME_SUFFIXES
        and not any(is_metadata(part) for part in path.relative_to(folder).parts)
    )


def check_axes(volume: Volume, path: Path) -> None:
    """Refuse a volume without three axes.

    Raises:
        MedbenchError: ``data.not_3d``.
    """
    if volume.array.ndim != 3:
        axes = f"{volume.array.ndim} {agreeing(volume.array.ndim, 'axis', 'axes')}"
        raise MedbenchError(
            "data.not_3d",
            f"{path}: has {axes} {volume.shape}, not three.",
            "Save one slice with three axes, (x, y, 1), or as PNG."
            if volume.array.ndim == 2
            else "Each modality and each label map is a 3-D NIfTI of its own.",
        )


def check_labels(volume: Volume, path: Path, labels: Sequence[int], title: str, advice: str) -> None:
    """Refuse labels that the challenge does not have.

    Raises:
        MedbenchError: ``data.label_unknown`` with the unknown labels.
    """
    strange = unknown_labels(volume.array, labels)
    if strange:
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds label {strange}, which {title} does not have ({', '.join(map(str, labels))}).",
            advice,
        )
