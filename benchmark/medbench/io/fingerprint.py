"""Hashes of the content that files show, whatever their format, so that copies are found."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.io import images
from medbench.io.caches import content_sha256
from medbench.io.radiographs import DICOM_SUFFIXES, stored_values

_LOOKED_AT, _FEW_VALUES = 4096, 32


def shown_sha256(path: Path, *, any_way_round: bool = False) -> str | None:
    """SHA-256 of a file's pixels or voxels, of DICOM as they are stored; of its bytes where it is no image.

    Args:
        path: the file.
        any_way_round: whether mirrored and turned copies have the same.

    Returns:
        ``None`` for what cannot be told from others: a file that cannot be read, or one of a single value.
    """
    try:
        if images.suffix_of(path) in images.SUFFIXES:
            return _of_values(images.read_volume(path).array, any_way_round)
        if path.suffix.lower() in DICOM_SUFFIXES:
            with contextlib.suppress(MedbenchError):  # what no decoder here reads may still be a copy
                return _of_values(stored_values(path), any_way_round)
        return content_sha256(path)
    except MedbenchError:
        return None


def _of_values(values: npt.NDArray[Any], any_way_round: bool) -> str | None:
    return values_sha256(one_way_round(values) if any_way_round else values)


def one_way_round(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The one of an image's mirrored and turned copies that has the most weight where its axes begin.

    Images of few values stay as they are: drawings may well be mirror images of one another.

    >>> image = np.arange(63.0).reshape(7, 9)
    >>> turned = np.rot90(image)[::-1]
    >>> bool((one_way_round(turned) == one_way_round(image)).all())
    True
    """
    if len(np.unique(values.ravel()[:: max(1, values.size // _LOOKED_AT)])) < _FEW_VALUES:
        return values
    spatial = values.ndim - (values.ndim == 3 and values.shape[2] in (3, 4))
    moments = []
    for axis in range(spatial):
        others = tuple(other for other in range(values.ndim) if other != axis)
        profile = values.sum(axis=others, dtype=np.float64)
        moments.append(float(profile @ (np.arange(len(profile)) - (len(profile) - 1) / 2)))
    flips = tuple(axis for axis, moment in enumerate(moments) if moment > 0)
    order = sorted(range(spatial), key=lambda axis: (values.shape[axis], abs(moments[axis])))
    return np.flip(values, flips).transpose(*order, *range(spatial, values.ndim))


def values_sha256(values: npt.NDArray[Any]) -> str | None:
    """SHA-256 of an array's shape and values, whatever their type; ``None`` for a single value everywhere.

    Three equal colour channels count as one.

    >>> grey = np.array([[0, 7]], np.uint8)
    >>> values_sha256(grey) == values_sha256(np.repeat(grey[..., None], 3, 2).astype(float))
    True
    """
    if values.ndim == 3 and values.shape[2] == 3 and not np.any(values != values[:, :, :1]):
        values = values[:, :, 0]
    if values.size == 0 or not np.any(values != values.flat[0]):
        return None
    narrow = values.astype(np.float32)
    digest = hashlib.sha256(repr(narrow.shape).encode())
    digest.update(np.ascontiguousarray(narrow).data)
    return digest.hexdigest()
