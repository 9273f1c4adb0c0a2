"""Files of abdominal CT: as TransUNet prepared them (.npz, .h5), and as BTCV released them (NIfTI)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.release import Finding
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.io import hdf5, images, nifti_mha
from medbench.io.geometry import check_geometry
from medbench.io.raster import spline_zoom
from medbench.io.tables import read_table

LABEL_OF_BTCV = {1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 5, 7: 6, 8: 7, 9: 0, 10: 0, 11: 8, 12: 0, 13: 0}
WINDOW_HU = (-125.0, 275.0)


def spacing_table(path: Path) -> dict[str, tuple[float, ...]]:
    """Case -> spacing in mm along z, y and x, from ``case,z_mm,y_mm,x_mm``; empty when there is no such file.

    Raises:
        MedbenchError: ``data.spacing_malformed`` naming the row.
    """
    if not path.is_file():
        return {}
    table = {}
    for row in read_table(path, "case", "z_mm", "y_mm", "x_mm"):
        try:
            steps = tuple(float(row[f"{axis}_mm"]) for axis in "zyx")
        except (TypeError, ValueError):
            steps = (0.0,)
        if not all(0 < step < np.inf for step in steps):
            raise MedbenchError(
                "data.spacing_malformed",
                f"{path}, {row['case']}: the spacing is not three positive numbers.",
                "Give mm along z, y and x.",
            )
        table[row["case"]] = steps
    return table


def read_case_image(path: Path) -> Volume:
    """CT as ``(slices, height, width)`` float32 from 0 to 1.

    Prepared files are as they are; NIfTI files are clipped to −125 … 275 HU and scaled.

    Raises:
        MedbenchError: when the file is damaged, or ``data.value_range`` when prepared values are not 0 to 1.
    """
    if images.suffix_of(path) in nifti_mha.SUFFIXES:
        volume = nifti_mha.read_volume(path)
        low, high = WINDOW_HU
        scaled = (np.clip(volume.array.astype(np.float32), low, high) - low) / (high - low)
        return Volume(_stacked(scaled, path), volume.spacing, volume.origin, volume.direction)
    array = _stacked(hdf5.read_arrays(path, "image")["image"], path)
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise MedbenchError(
            "data.value_range",
            f"{path}: holds values from {low:g} to {high:g}, the prepared files hold 0 to 1.",
            "Clip to -125 … 275 HU and scale to 0 … 1.",
        )
    return Volume(array.astype(np.float32))


def read_case_labels(path: Path, n_organs: int) -> Volume:
    """Labels ``(slices, height, width)``, 0 to ``n_organs``; BTCV's numbers of NIfTI files are translated.

    Raises:
        MedbenchError: when the file is damaged, or ``data.label_unknown`` with the values that are no labels.
    """
    if images.suffix_of(path) in nifti_mha.SUFFIXES:
        volume = images.read_labels(path)
        known = [0, *LABEL_OF_BTCV]
    else:
        volume = Volume(hdf5.read_arrays(path, "label")["label"])
        known = list(range(n_organs + 1))
    array = _stacked(volume.array, path)
    values = np.unique(array)
    strange = values[~np.isin(values, known)]
    if strange.size:
        shown = ", ".join(f"{value:g}" for value in strange[:6])
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds the label values {shown}, known are 0 to {max(known)}.",
            "The file is scaled (0/255), interpolated, or of another set.",
        )
    labels = array.astype(np.uint8)
    if max(known) > n_organs:
        table = np.zeros(max(known) + 1, np.uint8)
        table[list(LABEL_OF_BTCV)] = list(LABEL_OF_BTCV.values())
        labels = table[labels]
    return Volume(labels, volume.spacing, volume.origin, volume.direction)


def _stacked(array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    if array.ndim not in (2, 3):
        raise MedbenchError(
            "data.dimensions",
            f"{path}: has {array.ndim} axes, a volume has three and a slice two.",
            "Use the file as released.",
        )
    return array[np.newaxis] if array.ndim == 2 else array


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of one case, resized on demand and kept.

    Attributes:
        case: the case.
        count: number of slices.
        n_organs: largest label.
        cache: folder for resized slices.
    """

    case: Case
    count: int
    n_organs: int
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
        file = self._file(size)
        if not file.exists():
            image = read_case_image(self.case.inputs["image"]).array
            labels = read_case_labels(self.case.reference["labels"], self.n_organs).array
            both = np.stack(
                [
                    np.stack([spline_zoom(plane, size, size) for plane in image]),
                    np.stack([spline_zoom(plane, size, size, order=0) for plane in labels]),
                ],
                axis=1,
            ).astype(np.float32)
            with atomic_path(file) as temporary:
                np.save(temporary, both)
        plane, mask = np.load(file, mmap_mode="r")[index]
        grey = np.clip(plane, 0, 1)[..., np.newaxis]
        return np.repeat(grey, 3, axis=-1), mask.astype(np.uint8)

    def _file(self, size: int) -> Path:
        identity: list[object] = [size]
        for path in (self.case.inputs["image"], self.case.reference["labels"]):
            state = path.stat() if path.is_file() else None
            identity += [str(path.resolve()), state and state.st_size, state and state.st_mtime_ns]
        name = sha256_json(identity)[:24]
        return self.cache / name[:2] / f"{self.case.id}-{name}.npy"


def slices_of(case: Case, n_organs: int, cache: Path) -> Slices:
    """Slices of the case; volumes are opened for their number of slices only.

    Raises:
        MedbenchError: when a NIfTI volume cannot be read.
    """
    path = case.inputs["image"]
    if images.suffix_of(path) in nifti_mha.SUFFIXES:
        return Slices(case, nifti_mha.read_volume(path).shape[0], n_organs, cache)
    count = 1 if path.suffix == ".npz" else read_case_image(path).shape[0]
    return Slices(case, count, n_organs, cache)


def check_volumes(
    by_split: Mapping[str, Sequence[Case]], strangers: Mapping[str, set[str]], n_organs: int
) -> Iterator[Finding]:
    """What is wrong with the files of the splits: unreadable, other labels or sizes, in two splits.

    Args:
        by_split: split -> cases.
        strangers: split -> groups that belong into another split.
        n_organs: largest label.
    """
    seen: dict[str, tuple[str, Case]] = {}
    for split, cases in by_split.items():
        for group in sorted({case.group for case in cases} & strangers[split]):
            yield Finding(
                "error",
                f"{group}: lies in {split} and belongs into the other split.",
                "Scores on it would be of training data: move its files.",
            )
        for case in cases:
            try:
                image = read_case_image(case.inputs["image"])
                labels = read_case_labels(case.reference["labels"], n_organs)
            except MedbenchError as error:
                yield Finding("error", error.message, error.hint)
                continue
            yield from _check_pair(case, image, labels)
            digest = hashlib.sha256(np.ascontiguousarray(image.array).tobytes()).hexdigest()
            other, first = seen.setdefault(digest, (split, case))
            if first is not case:
                yield Finding(
                    "error" if other != split else "warning",
                    f"{case.inputs['image']}: the same image as {first.inputs['image']}, "
                    f"in {split} and {other}.",
                )


def _check_pair(case: Case, image: Volume, labels: Volume) -> Iterator[Finding]:
    path = case.reference["labels"]
    try:
        check_geometry(image, labels, str(path), "the label map")
    except MedbenchError as error:
        yield Finding("error", error.message, "Image and labels are of different cases or were resampled.")
    if image.shape[1:] != (512, 512):
        size = "×".join(map(str, image.shape[1:]))
        yield Finding("note", f"{case.inputs['image']}: slices of {size}, the release has 512×512.")
    if "slice" not in case.id and not labels.array.any():
        yield Finding("warning", f"{path}: holds no organ.")
