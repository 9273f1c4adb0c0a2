"""Writing NIfTI, MetaImage and NRRD files, compressed; equal volumes give equal bytes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import write_bytes
from medbench.io.gate.admission import suffix_of

_LEVEL = 6
_METAIMAGE = {
    "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT",
    "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip
_NRRD = {
    "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short", "i4": "int",
    "u4": "unsigned int", "i8": "long long int", "u8": "unsigned long long int", "f4": "float",
    "f8": "double",
}  # fmt: skip


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume with its geometry, atomically, in the format of the suffix.

    Four-dimensional arrays hold channels last, unless their geometry has four axes too.

    Raises:
        MedbenchError: ``file.unwritable`` for another suffix, or values that the format cannot hold.
    """
    encode = _ENCODERS.get(suffix_of(path.name))
    if encode is None:
        suffixes = ", ".join(_ENCODERS)
        raise MedbenchError(
            "file.unwritable",
            f"{path}: '{path.suffix}' is no volume format that medbench writes.",
            f"Known: {suffixes}.",
        )
    array = np.ascontiguousarray(volume.array)
    if encode in (_nifti, _nifti_packed) and array.ndim > _n_spatial(volume):
        raise MedbenchError(
            "file.unwritable", f"{path}: NIfTI is written without channels.", "Use .mha for channels."
        )
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.str[1:] not in _METAIMAGE or not 2 <= array.ndim <= 4:
        raise MedbenchError(
            "file.unwritable",
            f"{path}: an array of shape {array.shape} and type {array.dtype} cannot be written as a volume.",
            "Give integers or floating-point numbers, 2 to 4 axes.",
        )
    content = encode(array.astype(array.dtype.newbyteorder("<"), copy=False), volume)
    write_bytes(path, content)


def _n_spatial(volume: Volume) -> int:
    if volume.spacing is not None:
        return len(volume.spacing)
    return 3 if volume.array.ndim == 4 else volume.array.ndim


def _geometry(volume: Volume) -> tuple[list[float], list[float], npt.NDArray[np.float64]]:
    """Spacing and origin in the file's axis order, and direction; 1 mm, 0 and the identity where unknown."""
    count = _n_spatial(volume)
    spacing = list(reversed(volume.spacing or (1.0,) * count))
    origin = list(reversed(volume.origin or (0.0,) * count))
    direction = np.eye(count) if volume.direction is None else np.reshape(volume.direction, (count, count))
    return spacing, origin, direction


def _words(values: Any) -> str:
    return " ".join(f"{float(value):.17g}" for value in values)


def _metaimage(array: npt.NDArray[Any], volume: Volume) -> bytes:
    spacing, origin, direction = _geometry(volume)
    count = len(spacing)
    content = zlib.compress(array.data, _LEVEL)
    lines = [
        "ObjectType = Image",
        f"NDims = {count}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(content)}",
    ]
    if volume.direction is not None:
        lines.append(f"TransformMatrix = {_words(direction.T.ravel())}")
    if volume.origin is not None:
        lines.append(f"Offset = {_words(origin)}")
    if volume.spacing is not None:
        lines.append(f"ElementSpacing = {_words(spacing)}")
    lines.append("DimSize = " + " ".join(str(side) for side in reversed(array.shape[:count])))
    if array.ndim > count:
        lines.append(f"ElementNumberOfChannels = {array.shape[-1]}")
    lines += [f"ElementType = {_METAIMAGE[array.dtype.str[1:]]}", "ElementDataFile = LOCAL", ""]
    return "\n".join(lines).encode() + content


def _nrrd(array: npt.NDArray[Any], volume: Volume) -> bytes:
    spacing, origin, direction = _geometry(volume)
    count, channels = len(spacing), array.ndim > len(spacing)
    vectors = (direction * np.array(spacing)).T
    words = ["none"] * channels + [f"({','.join(f'{x:.17g}' for x in vector)})" for vector in vectors]
    place = ",".join(f"{value:.17g}" for value in origin)
    lines = [
        "NRRD0004",
        f"type: {_NRRD[array.dtype.str[1:]]}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior" if count == 3 else f"space dimension: {count}",
        "sizes: " + " ".join(str(side) for side in (*array.shape[count:], *reversed(array.shape[:count]))),
        f"space directions: {' '.join(words)}",
        "kinds: " + " ".join(["vector"] * channels + ["domain"] * count),
        "endian: little",
        "encoding: gzip",
        f"space origin: ({place})",
        "",
        "",
    ]
    return "\n".join(lines).encode() + gzip.compress(array.data, _LEVEL, mtime=0)


def _nifti(array: npt.NDArray[Any], volume: Volume) -> bytes:
    from nibabel.nifti1 import Nifti1Image

    spacing, origin, direction = _geometry(volume)
    count = len(spacing)
    affine, inner = np.eye(4), min(count, 3)
    affine[:inner, :inner] = direction[:inner, :inner] * np.array(spacing[:inner])
    affine[:inner, 3] = origin[:inner]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    image = Nifti1Image(array.T, affine, dtype=array.dtype)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header["pixdim"][1 : count + 1] = spacing
    return bytes(image.to_bytes())


def _nifti_packed(array: npt.NDArray[Any], volume: Volume) -> bytes:
    return gzip.compress(_nifti(array, volume), _LEVEL, mtime=0)


_ENCODERS: dict[str, Callable[[npt.NDArray[Any], Volume], bytes]] = {
    ".nii": _nifti,
    ".nii.gz": _nifti_packed,
    ".mha": _metaimage,
    ".nrrd": _nrrd,
}
