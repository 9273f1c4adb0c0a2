"""Files of volumes that networks see slice by slice: reading, slices that are kept, and checks."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.mask_sizes import READERS, check_size, refuse_unequal
from medbench.challenges.release import Release
from medbench.challenges.stray import REMOVE, Finding, Role
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.text import agreeing
from medbench.io import caches, hdf5, images, nifti_mha
from medbench.io.fingerprint import one_way_round, values_sha256
from medbench.io.geometry import check_geometry
from medbench.io.raster import spline_zoom


class SlicedVolumeRelease(Release):
    """Files of volumes with label maps.

    Attributes:
        structures: name -> label.
        structure_word: what a structure is, in messages.
        slice_size: height and width of the release's slices, if they are equal.
        label_hint: what to do about labels that are not the release's.
        image_arrays: names that the image may have in prepared files.
    """

    structures: ClassVar[Mapping[str, int]]
    structure_word: ClassVar[str] = "structure"
    slice_size: ClassVar[tuple[int, int] | None] = None
    label_hint: ClassVar[str] = ""
    image_arrays: ClassVar[Sequence[str]] = ("image",)

    @abc.abstractmethod
    def read_volume(self, case: Case) -> Volume:
        """The case's image, ``(slices, height, width)``, float32 from 0 to 1.

        Raises:
            MedbenchError: when the file is missing or damaged.
        """

    @abc.abstractmethod
    def read_reference(self, case: Case) -> Volume:
        """The case's labels, ``(slices, height, width)``, with the spacing in mm where it is known.

        Raises:
            MedbenchError: when the file is missing, damaged or holds unknown labels.
        """

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of the image or of the labels, which prepared files hold together."""
        if images.suffix_of(path) not in hdf5.SUFFIXES:
            return super().shown_sha256(path, role)
        case = Case("", {"image": path}, {"labels": path})
        read = self.read_volume if role == "image" else self.read_reference
        volume = guarded(str(path), lambda: read(case))
        if isinstance(volume, Failure):
            return None
        return values_sha256(one_way_round(volume.array) if role == "image" else volume.array)

    def check(self, root: Path) -> list[Finding]:
        """Findings as on any data, and slices in files of their own that another split's volume holds too."""
        return [*super().check(root), *self._shared_slices(root)]

    def _shared_slices(self, root: Path) -> Iterator[Finding]:
        by_split: dict[str, list[Case]] = {}
        for split in self.splits:
            with contextlib.suppress(MedbenchError):
                by_split[split] = self.cases(root, split)
        for splits in self.disjoint_splits():
            cases = [(split, case) for split in splits for case in by_split.get(split, ())]
            with ThreadPoolExecutor(READERS) as pool:
                digests = list(pool.map(self._slice_digests, (case for _, case in cases)))
            alone = {
                own[0]: (split, case)
                for (split, case), own in zip(cases, digests, strict=True)
                if len(own) == 1 and own[0] is not None
            }
            for (split, case), own in zip(cases, digests, strict=True):
                pairs = [alone[digest] for digest in own if digest in alone] if len(own) > 1 else []
                others = [other for other_split, other in pairs if other_split != split]
                if others:
                    path, first = case.inputs["image"], others[0].inputs["image"]
                    slices = agreeing(len(others), "slice of it lies", "slices of it lie")
                    message = f"{path}: {len(others)} {slices} in another split, the first as {first}."
                    yield Finding("error", message, REMOVE)

    def _slice_digests(self, case: Case) -> list[str | None]:
        """Hash of what each slice shows; none where the file cannot be read, a finding of its own."""
        volume = guarded(case.id, lambda: self.read_volume(case))
        return (
            [] if isinstance(volume, Failure) else [values_sha256(one_way_round(one)) for one in volume.array]
        )

    def count_slices(self, case: Case) -> int:
        """Slices of the case.

        Raises:
            MedbenchError: when the file cannot be read.
        """
        return len(self.read_volume(case).array)

    def refuse_other_shapes(self, cases: Sequence[Case]) -> None:
        """Refuse label maps whose shape is not that of their image, by the headers of the files.

        Raises:
            MedbenchError: ``data.size_mismatch`` with the number of such files and the first five of them;
                what the gate refuses of a header.
        """
        with ThreadPoolExecutor(READERS) as pool:
            refuse_unequal(shapes for shapes in pool.map(self._shapes, cases) if shapes is not None)

    def _shapes(self, case: Case) -> tuple[Path, tuple[int, ...], tuple[int, ...]] | None:
        """The label map's file, its shape and that of the image; ``None`` where a file lacks the array."""
        path = case.reference["labels"]
        own, due = _shape(path, ("label",)), _shape(case.inputs["image"], self.image_arrays)
        return None if own is None or due is None else (path, own, due)


def _shape(path: Path, names: Sequence[str]) -> tuple[int, ...] | None:
    """``(slices, height, width)`` by the header of a file; ``None`` where it has no array of these names."""
    if images.suffix_of(path) in images.VOLUME_SUFFIXES:
        shape: tuple[int, ...] | None = nifti_mha.read_geometry(path).shape
    else:
        shapes = hdf5.read_shapes(path)
        shape = next((shapes[name] for name in names if name in shapes), None)
    return (1, *shape) if shape is not None and len(shape) == 2 else shape


def stacked(array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """The array of a file as ``(slices, height, width)``.

    Raises:
        MedbenchError: ``data.dimensions`` for other than two or three axes.
    """
    if array.ndim not in (2, 3):
        axes = f"{array.ndim} {agreeing(array.ndim, 'axis', 'axes')}"
        raise MedbenchError(
            "data.dimensions",
            f"{path}: has {axes}, a volume has three and a slice two.",
            "Use the file as released.",
        )
    return array[np.newaxis] if array.ndim == 2 else array


def check_prepared(values: npt.NDArray[Any], path: Path, hint: str) -> None:
    """Refuse a prepared image whose values are not 0 to 1.

    Raises:
        MedbenchError: ``data.value_range``.
    """
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise MedbenchError(
            "data.value_range",
            f"{path}: holds values from {low:g} to {high:g}, the prepared files hold 0 to 1.",
            hint,
        )


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of one case, resized on demand and kept.

    Attributes:
        case: the case.
        count: number of slices.
        release: reads them.
        cache: folder for resized slices.
    """

    case: Case
    count: int
    release: SlicedVolumeRelease
    cache: Path

    def __len__(self) -> int:
        return self.count

    @property
    def group(self) -> str:
        """The volume."""
        return self.case.resampling_unit

    def name(self, index: int) -> str:
        """Id of a slice, unique in the split."""
        return self.case.id if self.count == 1 else f"{self.case.id}#{index}"

    def load(self, index: int, size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Slice ``(size, size, 3)`` from 0 to 1, cubic spline, and its labels, nearest neighbour."""
        files = self.case.inputs["image"], self.case.reference["labels"]
        states = [(state.st_size, state.st_mtime_ns) for state in (file.stat() for file in files)]
        entry = _place(self.cache, *files, size, *states)
        plane, mask = caches.cached_array(entry, lambda: self._resized(size), memory_map=True)[index]
        grey = np.clip(plane, 0, 1)[..., np.newaxis]
        return np.repeat(grey, 3, axis=-1), mask.astype(np.uint8)

    def _resized(self, size: int) -> npt.NDArray[np.float32]:
        image, labels = (
            self.release.read_volume(self.case).array,
            self.release.read_reference(self.case).array,
        )
        check_size(self.case.reference["labels"], labels.shape, image.shape)
        planes = np.stack([spline_zoom(plane, size, size) for plane in image])
        masks = np.stack([spline_zoom(plane, size, size, order=0) for plane in labels])
        return np.stack([planes, masks], axis=1).astype(np.float32)


@functools.lru_cache(maxsize=4096)
def _place(cache: Path, image: Path, labels: Path, size: int, *_states: tuple[int, int]) -> Path:
    """Where resized slices are kept; both files are hashed once in a process."""
    return caches.place(cache, image, "slices", size, caches.content_sha256(labels))


def check_volumes(
    release: SlicedVolumeRelease, by_split: Mapping[str, Sequence[Case]], strangers: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """Findings on the files of the splits: unreadable, other labels or sizes, in the wrong split.

    Args:
        release: reads them.
        by_split: split -> cases.
        strangers: split -> groups that belong into another split.
    """
    for split, cases in by_split.items():
        for group in sorted({case.group for case in cases} & strangers.get(split, set())):
            yield Finding(
                "error",
                f"{group}: lies in {split} and belongs into the other split.",
                "Scores on it would be of training data: move its files.",
            )
        for case in cases:
            try:
                image = release.read_volume(case)
                labels = release.read_reference(case)
            except MedbenchError as error:
                yield Finding("error", error.message, error.hint)
                continue
            yield from _check_pair(release, case, image, labels)


def _check_pair(release: SlicedVolumeRelease, case: Case, image: Volume, labels: Volume) -> Iterator[Finding]:
    path = case.reference["labels"]
    try:
        check_geometry(image, labels, str(path), "the label map")
    except MedbenchError as error:
        yield Finding("error", error.message, "Image and labels are of different cases or were resampled.")
    due = release.slice_size
    if due and image.shape[1:] != due:
        sizes = size_text(image.shape[1:]), size_text(due)
        yield Finding("note", f"{case.inputs['image']}: slices of {sizes[0]}, the release has {sizes[1]}.")
    if "slice" not in case.id and not labels.array.any():
        yield Finding("warning", f"{path}: holds no {release.structure_word}.")
