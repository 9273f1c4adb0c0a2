"""NIfTI, MetaImage and NRRD volumes through SimpleITK, with their geometry in array-axis order."""

from __future__ import annotations

import gzip
import struct
import zlib
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


def read_geometry(path: Path) -> Volume:
    """Spacing, origin and direction as :func:`read_volume` gives them, with an array that holds no memory.

    Raises:
        MedbenchError: ``file.unreadable`` or ``file.corrupt``.
    """
    import SimpleITK

    if not path.is_file():
        raise MedbenchError("file.unreadable", f"{path}: there is no such file.", "Check the path.")
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _corrupt(path, error) from error
    return Volume(
        np.broadcast_to(np.uint8(0), tuple(reversed(reader.GetSize()))),
        spacing=tuple(reversed(reader.GetSpacing())),
        origin=tuple(reversed(reader.GetOrigin())),
        direction=tuple(reader.GetDirection()),
    )


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
    if path.name.lower().endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise _corrupt(path, error) from error


def _corrupt(path: Path, error: Exception) -> MedbenchError:
    reason = str(error).strip().splitlines()[-1]
    if "No such file" in reason:
        reason = "its header is wrong or it ends too early"
    return MedbenchError(
        "file.corrupt", f"{path}: not a readable volume ({reason}).", "Copy it again from its source."
    )


def _as_volume(image: SimpleITK.Image) -> Volume:
    import SimpleITK

    return Volume(
        SimpleITK.GetArrayFromImage(image),
        spacing=tuple(reversed(image.GetSpacing())),
        origin=tuple(reversed(image.GetOrigin())),
        direction=tuple(image.GetDirection()),
    )


_HEADER_BYTES = 348
_FLOATS = {16: "f4", 64: "f8"}


def _check_nifti(path: Path) -> None:
    """Refuse what ITK lets pass: a truncated file reads as zeros there, and NaN voxels become zeros too.

    Raises:
        MedbenchError: ``file.corrupt`` or ``data.not_finite``.
    """
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if packed else open(path, "rb") as stream:
            header = stream.read(_HEADER_BYTES)
            order = "<" if struct.unpack("<i", header[:4])[0] == _HEADER_BYTES else ">"
            dimensions = struct.unpack(f"{order}8h", header[40:56])
            kind, bits = struct.unpack(f"{order}2h", header[70:74])
            (offset,) = struct.unpack(f"{order}f", header[108:112])
            count = int(np.prod(dimensions[1 : 1 + dimensions[0]], dtype=np.int64))
            wanted = int(offset) + count * bits // 8
            if kind not in _FLOATS and _unpacked_size(path, packed) == wanted % 2**32:
                return
            body = stream.read(wanted - _HEADER_BYTES)
    except (EOFError, OSError, zlib.error, struct.error) as error:
        raise MedbenchError(
            "file.corrupt",
            f"{path}: not a readable volume ({error or 'it ends too early'}).",
            "Copy it again from its source.",
        ) from error
    found = _HEADER_BYTES + len(body)
    if found < wanted:
        raise MedbenchError(
            "file.corrupt",
            f"{path}: not a readable volume ({found} bytes where its header announces {wanted}).",
            "Copy it again from its source.",
        )
    if kind in _FLOATS:
        values = np.frombuffer(body, order + _FLOATS[kind], count, int(offset) - _HEADER_BYTES)
        if not np.isfinite(values).all():
            raise MedbenchError(
                "data.not_finite", f"{path}: holds NaN or infinite voxels.", "Repeat its preprocessing."
            )


def _unpacked_size(path: Path, packed: bool) -> int:
    """Size by the file system, or by the last four bytes of a gzip file (modulo 2**32)."""
    if not packed:
        return path.stat().st_size
    with open(path, "rb") as stream:
        stream.seek(-4, 2)
        return int(struct.unpack("<I", stream.read(4))[0])
