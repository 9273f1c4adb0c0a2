"""Headers of FreeSurfer volumes (``.mgh``, ``.mgz``). Source: FreeSurfer's MGH/MGZ format description."""

from __future__ import annotations

import struct

import numpy as np

from medbench.io.gate.refusal import corrupt
from medbench.io.gate.volume_header import VolumeHeader, check_axes, facts_of_axes

HEAD_BYTES = 284
_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}
_TO_LEFT_BACK_UP = np.array([-1.0, -1.0, 1.0])


def parse_mgh(head: bytes, *, is_gzip: bool) -> VolumeHeader:
    """The header of a FreeSurfer volume, which is big-endian.

    Raises:
        Reject: ``file.corrupt`` or ``data.axes``.
    """
    if len(head) < HEAD_BYTES:
        raise corrupt("it ends within its header")
    version, *sizes, kind, _ = struct.unpack_from(">7i", head)
    if version != 1 or kind not in _TYPES:
        raise corrupt("it has no FreeSurfer header")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    check_axes(tuple(sizes))
    spacing = origin = direction = None
    if struct.unpack_from(">h", head, 28)[0] == 1 and len(sizes) == 3:
        numbers = np.array(struct.unpack_from(">15f", head, 30), np.float64)
        if not np.all(np.isfinite(numbers)):
            raise corrupt("its geometry is not finite")
        vectors = numbers[3:12].reshape(3, 3).T * np.abs(numbers[:3])
        corner = numbers[12:] - vectors @ (np.array(sizes) / 2)
        spacing, direction = facts_of_axes(_TO_LEFT_BACK_UP[:, None] * vectors)
        origin = tuple((_TO_LEFT_BACK_UP * corner + 0.0)[::-1].tolist())
    return VolumeHeader(
        "FreeSurfer",
        tuple(sizes)[::-1],
        np.dtype(">" + _TYPES[kind]),
        HEAD_BYTES,
        "gzip" if is_gzip else "none",
        spacing=spacing,
        origin=origin,
        direction=direction,
        exact=False,
    )
