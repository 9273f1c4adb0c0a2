"""Connected components, their boxes and overlaps; connected-components-3d is used where installed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Box, Mask

Labels = npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def _cc3d() -> Any:
    try:
        import cc3d
    except ImportError:
        return None
    return cc3d


def components(mask: Mask) -> tuple[Labels, int]:
    """Components by full connectivity (8 neighbours in 2-D, 26 in 3-D) and their number.

    The numbering is the order of each component's first element, whichever library finds them.
    """
    library = _cc3d() if mask.ndim == 3 else None
    if library is not None:
        labels, count = library.connected_components(
            np.require(mask, requirements=["C", "W"]), connectivity=26, return_N=True, out_dtype=np.uint32
        )
        return labels.view(np.int32), int(count)
    from scipy import ndimage

    labels = np.empty(mask.shape, np.int32)
    count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=labels)
    return labels, int(count)


def boxes(labels: Labels) -> list[Box]:
    """Slices around each component."""
    from scipy import ndimage

    return list(ndimage.find_objects(labels))


def widened(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """The box grown by ``margin`` on every side, within the array."""
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, side))
        for part, side in zip(box, shape, strict=True)
    )


def joined_box(parts: list[Box]) -> Box:
    """The smallest box around all boxes."""
    return tuple(
        slice(min(part[axis].start for part in parts), max(part[axis].stop for part in parts))
        for axis in range(len(parts[0]))
    )


def overlap_table(first: Labels, second: Labels, n_second: int) -> dict[tuple[int, int], int]:
    """Sizes of the overlaps of components, ``{(first, second): elements}``, both counted from 1."""
    both = (first > 0) & (second > 0)
    code = first[both].astype(np.int64) * (n_second + 1) + second[both]
    values, counts = np.unique(code, return_counts=True)
    return {
        (int(value) // (n_second + 1), int(value) % (n_second + 1)): int(count)
        for value, count in zip(values, counts, strict=True)
    }
