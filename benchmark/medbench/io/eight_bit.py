"""8-bit images and binary masks of releases, read strictly.

An image of another bit depth, with a palette or with an alpha channel would decode to other values without an
error; here it is refused with its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.core.text import named
from medbench.io import caches, raster
from medbench.io.gate.expected import Expected
from medbench.io.gate.meaning import binary

LOSSY = (".jpg", ".jpeg")


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A colour image, ``(height, width, 3)``, 8 bit.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.picture_format`` for 16 bits, a
            palette, an alpha channel or grey.
    """
    return _read_as(path, "8-bit RGB")


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """A grey image, ``(height, width)``, 8 bit.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.picture_format`` for 16 bits, a
            palette, an alpha channel or colours.
    """
    return _read_as(path, "8-bit grey")


def read_as_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A colour or grey image, ``(height, width, 3)``, 8 bit; grey as three equal planes.

    Raises:
        MedbenchError: as :func:`read_rgb`, ``data.picture_format`` for other than 8 bits.
    """
    image = raster.read_image(path)
    if image.dtype != np.uint8:
        raise MedbenchError(
            "data.picture_format",
            f"{path}: holds {image.dtype} values; the release holds 8-bit images.",
            "Copy the file again from its source.",
        )
    return image if image.ndim == 3 else raster.as_rgb(image)


def _read_as(path: Path, kind: str) -> npt.NDArray[np.uint8]:
    image, header = raster.read_image_and_header(path)
    if header.kind != kind:
        raise MedbenchError(
            "data.picture_format",
            f"{path}: is {'an' if header.bits == 8 else 'a'} {header.kind} image; "
            f"the release holds {kind} ones.",
            f"Copy the file again from its source, or convert it to {kind}.",
        )
    return image


def read_binary_mask(
    path: Path, threshold: int | None = None, *, expected: Expected | None = None
) -> npt.NDArray[np.uint8]:
    """A mask of one structure, ``(height, width)``, 0 and 1.

    Args:
        path: the file, with the values 0/255 or 0/1.
        threshold: where a release holds grey values at mask borders, values above this are the structure;
            never applied to JPEG files, whose grey values come from compression.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: as :func:`medbench.io.raster.read_label_map`, and ``data.mask_not_binary`` naming the
            values.
    """
    labels = raster.read_label_map(path, expected=expected)
    mask = binary(labels)
    if mask is not None:
        return mask
    lossy = path.suffix.lower() in LOSSY
    if threshold is not None and not lossy and labels.dtype == np.uint8 and labels.max() == 255:
        return (labels > threshold).astype(np.uint8)
    values = label_values(labels)
    cause = "JPEG compression has smeared it" if lossy else "0/255 or 0/1 is expected"
    raise MedbenchError(
        "data.mask_not_binary",
        f"{path}: is no binary mask, it holds the values {named(values.tolist())}; {cause}.",
        "Threshold it and save it as an 8-bit single-channel PNG, or copy the original again.",
    )


def resized_image(
    path: Path, size: int, cache: Path, read: Callable[[Path], npt.NDArray[np.uint8]] = read_rgb
) -> npt.NDArray[np.uint8]:
    """An image resized to ``size`` × ``size``, decoded by ``read`` once and cached in the folder ``cache``.

    Raises:
        MedbenchError: as ``read``.
    """
    entry = caches.place(cache, path, "image", size, _name(read))
    return caches.cached_array(entry, lambda: raster.resize_image(read(path), size, size))


def fitted_image(
    path: Path, size: int, cache: Path, read: Callable[[Path], npt.NDArray[np.uint8]] = read_rgb
) -> npt.NDArray[np.uint8]:
    """An image with its longer side resized to ``size``, cached as :func:`resized_image`.

    Raises:
        MedbenchError: as ``read``.
    """

    def resize() -> npt.NDArray[np.uint8]:
        image = read(path)
        return raster.resize_image(image, *raster.fitted_size(image.shape[:2], size))

    return caches.cached_array(caches.place(cache, path, "fitted", size, _name(read)), resize)


def image_size(
    path: Path, cache: Path, read: Callable[[Path], npt.NDArray[np.uint8]] = read_rgb
) -> tuple[int, int]:
    """Height and width of an image, cached as :func:`resized_image`.

    Raises:
        MedbenchError: as ``read``.
    """
    entry = caches.place(cache, path, "size", _name(read))
    height, width = caches.cached_array(entry, lambda: np.array(read(path).shape[:2], np.int64)).tolist()
    return height, width


def _name(read: Callable[[Path], npt.NDArray[np.uint8]]) -> str:
    return str(getattr(read, "__qualname__", type(read).__name__))
