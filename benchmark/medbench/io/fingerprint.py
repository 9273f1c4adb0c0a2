"""Hashes of the content that files show, whatever their format, so that copies are found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.io import images
from medbench.io.caches import content_sha256


def shown_sha256(path: Path) -> str | None:
    """SHA-256 of a file's pixels or voxels; of its bytes where it is no image.

    Returns:
        ``None`` for what cannot be told from others: a file that cannot be read, or one of a single value.
    """
    try:
        if images.suffix_of(path) in images.SUFFIXES:
            return values_sha256(images.read_volume(path).array)
        return content_sha256(path)
    except MedbenchError:
        return None


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
