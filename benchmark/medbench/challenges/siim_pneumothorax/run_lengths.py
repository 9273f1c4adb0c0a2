"""Run lengths of SIIM-ACR: pairs of the gap since the last run and the run's length, column by column."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError

EMPTY = "-1"
_WHOLE = re.compile(r"\d{1,9}")


def decode_runs(text: str, shape: tuple[int, int], where: str) -> npt.NDArray[np.uint8]:
    """A mask ``(height, width)`` of 0 and 1.

    Args:
        text: ``-1`` for nothing, else numbers with blanks between them.
        shape: height and width of the image.
        where: names the row in errors.

    Raises:
        MedbenchError: ``data.rle`` for what are no pairs of whole numbers, ``data.rle_overflow`` for runs
            that end beyond the image.

    >>> decode_runs("1 2 1 1", (2, 3), "row").tolist()
    [[0, 1, 1], [1, 0, 0]]
    """
    flat = np.zeros(shape[0] * shape[1], np.uint8)
    words = text.split()
    if words == [EMPTY]:
        return flat.reshape(shape)
    if not words or len(words) % 2 or not all(_WHOLE.fullmatch(word) for word in words):
        raise MedbenchError(
            "data.rle", f"{where}: '{text[:40]}' are no run lengths.", "Use the file as released."
        )
    numbers = [int(word) for word in words]
    if sum(numbers) > flat.size:
        raise MedbenchError(
            "data.rle_overflow",
            f"{where}: the runs end at pixel {sum(numbers)}, the image has {flat.size}.",
            "Compare the row with the release, and the image's size.",
        )
    place = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[place + gap : place + gap + length] = 1
        place += gap + length
    return flat.reshape(shape[1], shape[0]).T.copy()


def encode_runs(mask: npt.NDArray[np.generic]) -> str:
    """The run lengths of a mask ``(height, width)``; ``-1`` for an empty one.

    >>> encode_runs(np.array([[0, 1, 1], [1, 0, 0]]))
    '1 2 1 1'
    """
    flat = np.concatenate([[0], (np.asarray(mask).T.reshape(-1) > 0).astype(np.int8), [0]])
    changes = np.flatnonzero(np.diff(flat))
    if not changes.size:
        return EMPTY
    starts, ends = changes[::2], changes[1::2]
    gaps = starts - np.concatenate([[0], ends[:-1]])
    return " ".join(f"{gap} {end - start}" for gap, start, end in zip(gaps, starts, ends, strict=True))
