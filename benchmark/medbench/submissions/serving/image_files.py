"""Images as platforms store them, read for a challenge; and label maps, written as platforms require."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io import images, nifti_mha

IMAGE_CHANNELS = (1, 3)
SUFFIXES = (".mha", ".tif", ".tiff")
"""Of the files that grand-challenge hands over and takes."""


def only_file(folder: Path, suffixes: tuple[str, ...]) -> Path:
    """The one image of a folder, whatever its name.

    Raises:
        MedbenchError: ``input.missing`` when there is none, ``input.several`` when there are more.
    """
    files = image_files(folder, suffixes)
    if not files:
        kinds = ", ".join(suffixes)
        there = sorted(map(_described, folder.iterdir())) if folder.is_dir() else []
        what = f"holds {', '.join(there[:3])} and no {kinds} file" if there else f"holds no {kinds} file"
        raise MedbenchError("input.missing", f"{folder}: {what}.", "Hand in one image.")
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:3])
        raise MedbenchError(
            "input.several", f"{folder}: holds {len(files)} images ({names}).", "Hand in one image."
        )
    return files[0]


def _described(path: Path) -> str:
    """Name of an entry of a folder, with its kind where it is no file."""
    return path.name if path.is_file() else f"{path.name} ({'a folder' if path.is_dir() else 'no file'})"


def image_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The images of a folder by name, hidden files left out."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and images.suffix_of(path) in suffixes
    )


def read_image(path: Path, size: tuple[int, int] | None = None) -> tuple[npt.NDArray[np.uint8], Volume]:
    """A two-dimensional image as ``(1, height, width, channels)``, and the grid of its label map.

    Colour may be stored with its channels last, as MetaImage vectors and image files do, or as three
    planes ``(3, height, width)``; a volume of one slice counts as an image.

    Args:
        path: MetaImage, TIFF, PNG, JPEG or NIfTI.
        size: height and width that the image must have.

    Raises:
        MedbenchError: ``input.dimensions``, ``input.values``, ``input.size``, or as the file's reader.
    """
    volume = images.read_volume(path)
    array, dimensions = volume.array, len(volume.spacing or (0, 0))
    shape = array.shape
    if dimensions == 3 and array.ndim == 3 and shape[0] == 3:
        pixels, grid = np.moveaxis(array, 0, -1), _plane(volume)
    elif dimensions == 3 and array.ndim in (3, 4) and shape[0] == 1:
        pixels, grid = array[0], Volume(array[:1], volume.spacing, volume.origin, volume.direction)
    elif dimensions == 2 and array.ndim in (2, 3):
        pixels, grid = array, volume
    else:
        raise MedbenchError(
            "input.dimensions",
            f"{path.name}: is {dimensions}-dimensional, {'×'.join(map(str, shape))}, expected a 2-D image.",
            "Hand in one image, grey or RGB.",
        )
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.shape[-1] not in IMAGE_CHANNELS:
        raise MedbenchError(
            "input.dimensions",
            f"{path.name}: has {counted(pixels.shape[-1], 'channel')}, expected a grey or RGB image.",
            "Hand in one image, grey or RGB.",
        )
    if size is not None and pixels.shape[:2] != tuple(size):
        raise MedbenchError(
            "input.size",
            f"{path.name}: is {pixels.shape[0]}×{pixels.shape[1]} pixels, expected {size[0]}×{size[1]}.",
            "Hand in the image as the challenge released it.",
        )
    return _eight_bit(pixels, path)[np.newaxis], grid


def _plane(volume: Volume) -> Volume:
    """The grid of one plane of a volume."""
    spacing, origin, direction = volume.spacing, volume.origin, volume.direction
    return Volume(
        volume.array[0],
        spacing and spacing[1:],
        origin and origin[1:],
        direction and (direction[0], direction[1], direction[3], direction[4]),
    )


def _eight_bit(pixels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    integers = np.rint(pixels)
    if not (np.isfinite(pixels).all() and np.array_equal(integers, pixels)):
        raise MedbenchError(
            "input.values",
            f"{path.name}: holds fractional {pixels.dtype} values.",
            "Write 8-bit grey values.",
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 255:
        raise MedbenchError(
            "input.values",
            f"{path.name}: holds values from {low:g} to {high:g}, expected 0 to 255.",
            "Write 8-bit grey values.",
        )
    return np.ascontiguousarray(integers.astype(np.uint8))


def write_labels(path: Path, labels: npt.NDArray[Any], grid: Volume) -> None:
    """Write 8-bit labels ``(height, width)`` on the grid of their image, compressed."""
    plane = labels.astype(np.uint8)
    if len(grid.spacing or ()) == 3 and plane.ndim == 2:
        plane = plane[np.newaxis]
    nifti_mha.write_volume(path, Volume(plane, grid.spacing, grid.origin, grid.direction))
