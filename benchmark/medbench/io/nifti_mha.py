"""NIfTI, MetaImage and NRRD volumes through SimpleITK, with their geometry in array-axis order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def read_volume(path: Path) -> Volume:
    """Read a volume as ``(z, y, x)`` (or ``(y, x)``) with spacing and origin in mm in that same order.

    Raises:
        MedbenchError: ``file.unreadable`` or ``file.corrupt``.
    """
    return _as_volume(_read_image(path))


def resample_labels(path: Path, like: Path) -> Volume:
    """The label map at ``path`` on the grid of ``like``, by nearest neighbour; outside is 0.

    Raises:
        MedbenchError: ``file.unreadable`` or ``file.corrupt``.
    """
    import SimpleITK

    identity, nearest = SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor
    return _as_volume(SimpleITK.Resample(_read_image(path), _read_image(like), identity, nearest))


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume with its geometry, compressed, atomically; the suffix picks the format."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.array))
    if volume.spacing is not None:
        image.SetSpacing(tuple(reversed(volume.spacing)))
    if volume.origin is not None:
        image.SetOrigin(tuple(reversed(volume.origin)))
    if volume.direction is not None:
        image.SetDirection(volume.direction)
    with atomic_path(path) as temporary:
        SimpleITK.WriteImage(image, str(temporary), useCompression=True)


def _read_image(path: Path) -> SimpleITK.Image:
    import SimpleITK

    if not path.is_file():
        raise MedbenchError("file.unreadable", f"{path}: there is no such file.", "Check the path.")
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MedbenchError(
            "file.corrupt", f"{path}: not a readable volume ({reason}).", "Copy it again from its source."
        ) from error


def _as_volume(image: SimpleITK.Image) -> Volume:
    import SimpleITK

    return Volume(
        SimpleITK.GetArrayFromImage(image),
        spacing=tuple(reversed(image.GetSpacing())),
        origin=tuple(reversed(image.GetOrigin())),
        direction=tuple(image.GetDirection()),
    )
