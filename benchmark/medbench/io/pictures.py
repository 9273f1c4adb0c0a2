"""Colour pictures and binary masks as a release must hold them, and what is wrong with those that differ.

A picture of another bit depth, with a palette or with an alpha channel decodes without complaint and then
means something else; here it is refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.io import raster

LOSSY = (".jpg", ".jpeg")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_GREY_TAG = 1


def ends_early(encoded: bytes) -> bool:
    """Whether a PNG, JPEG or TIFF file stops before its end; other types are not looked at.

    >>> ends_early(b"\\xff\\xd8\\xff\\xda some scan")
    True
    """
    if encoded.startswith(_PNG):
        return b"IEND" not in encoded[-64:]
    if encoded.startswith(b"\xff\xd8\xff"):
        scan = encoded.rfind(b"\xff\xda")
        return scan < 0 or b"\xff\xd9" not in encoded[scan:]
    if encoded[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_ends_early(encoded)
    return False


def _tiff_ends_early(encoded: bytes) -> bool:
    import io

    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(encoded)) as file:
            page = file.pages.first
            ends = zip(page.dataoffsets, page.databytecounts, strict=True)
            return any(offset + count > len(encoded) for offset, count in ends)
    except (tifffile.TiffFileError, ValueError, IndexError, struct.error):
        return True


def grey_tagged_colours(path: Path) -> npt.NDArray[Any] | None:
    """The RGB values of a TIFF that says it is grey but has three samples a pixel, as CVC-ClinicDB's are.

    Such a file is legal; OpenCV returns its first sample alone, PIL refuses it.

    Returns:
        ``(height, width, 3)``, or ``None`` for every other file.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.photometric != _GREY_TAG or page.samplesperpixel != 3 or page.ndim != 3:
                return None
            colours = page.asarray()
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, struct.error):
        return None
    return np.moveaxis(colours, 0, -1) if page.planarconfig == 2 else colours


def _described(path: Path, picture: npt.NDArray[Any]) -> str:
    """What kind of picture a file holds: ``16-bit grey``, ``8-bit palette``, ``8-bit RGBA``."""
    with open(path, "rb") as stream:
        header = stream.read(26)
    if header.startswith(_PNG):
        return f"{header[24]}-bit {_PNG_COLOURS.get(header[25], 'unknown')}"
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    kind = {1: "grey", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}-channel")
    return f"{picture.dtype.itemsize * 8}-bit {kind}"


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A colour picture, ``(height, width, 3)``, 8 bit.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.picture_format`` for 16 bits, a
            palette, an alpha channel or grey.
    """
    return _read_as(path, "8-bit RGB")


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """A grey picture, ``(height, width)``, 8 bit.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.picture_format`` for 16 bits, a
            palette, an alpha channel or colours.
    """
    return _read_as(path, "8-bit grey")


def _read_as(path: Path, wanted: str) -> npt.NDArray[np.uint8]:
    picture = raster.read_picture(path)
    described = _described(path, picture)
    if described != wanted:
        raise MedbenchError(
            "data.picture_format",
            f"{path}: is {'an' if described[0] == '8' else 'a'} {described} picture; "
            f"the release holds {wanted} ones.",
            f"Copy the file again from its source, or convert it to {wanted}.",
        )
    return picture


def read_binary_mask(path: Path, threshold: int | None = None) -> npt.NDArray[np.uint8]:
    """A mask of one structure, ``(height, width)``, 0 and 1.

    Args:
        path: the file, with the values 0/255 or 0/1.
        threshold: where a release holds grey values at mask borders, values above this are the structure;
            never applied to JPEG files, whose grey values come from compression.

    Raises:
        MedbenchError: as :func:`medbench.io.raster.read_label_map`, and ``data.mask_not_binary`` naming the
            values.
    """
    labels = raster.read_label_map(path)
    largest = labels.max(initial=0)
    binary = np.asarray(labels == largest) if largest in (1, 255) else np.zeros(labels.shape, bool)
    if not np.any(labels[~binary]):
        return binary.astype(np.uint8)
    lossy = path.suffix.lower() in LOSSY
    if threshold is not None and not lossy and labels.dtype == np.uint8 and largest == 255:
        return (labels > threshold).astype(np.uint8)
    found = np.unique(labels)
    shown = ", ".join(str(value) for value in found[:6]) + (", …" if len(found) > 6 else "")
    cause = "JPEG compression has smeared it" if lossy else "0/255 or 0/1 is expected"
    raise MedbenchError(
        "data.mask_not_binary",
        f"{path}: is no binary mask, it holds the values {shown}; {cause}.",
        "Threshold it and save it as an 8-bit single-channel PNG, or copy the original again.",
    )


def resized_picture(
    path: Path, size: int, cache: Path, read: Callable[[Path], npt.NDArray[np.uint8]] = read_rgb
) -> npt.NDArray[np.uint8]:
    """A picture at ``size`` × ``size``, decoded by ``read`` once and kept under ``cache``.

    Raises:
        MedbenchError: as ``read``.
    """
    state = path.stat() if path.is_file() else None
    identity = [str(path.resolve()), size, state.st_size if state else 0, state.st_mtime_ns if state else 0]
    name = sha256_json(identity)[:24]
    kept = cache / name[:2] / f"{path.stem}-{name}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    picture = raster.resize_picture(read(path), size, size)
    with atomic_path(kept) as temporary:
        np.save(temporary, picture)
    return picture
