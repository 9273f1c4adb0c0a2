"""Headers of NIfTI-1 and NIfTI-2, in one file or as a pair of header and image.

Source: nifti1.h and nifti2.h of the NIfTI Data Format Working Group. The affine is that of nibabel: the sform
where there is one, else the qform; the spacing is the length of its columns, also for sheared affines.
"""

from __future__ import annotations

import math
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.io.gate.refusal import Reject, corrupt
from medbench.io.gate.volume_header import Floats, VolumeHeader, check_axes, facts_of_axes

HEAD_BYTES = 544
_SIZES = {348: 1, 540: 2}
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHERS = {
    1: "single bits", 32: "complex numbers", 128: "RGB colours", 1536: "128-bit numbers",
    1792: "complex numbers", 2048: "complex numbers", 2304: "RGBA colours",
}  # fmt: skip
_MM = {1: 1000.0, 3: 0.001}
_LARGEST_OFFSET = 64 << 20
_CLOSE = 1e-5
_TO_LEFT_BACK_UP = np.array([-1.0, -1.0, 1.0])


def parse_nifti(head: bytes, *, is_gzip: bool, pair: bool = False) -> VolumeHeader:
    """The header of a NIfTI file.

    Args:
        head: first bytes of the file, decompressed.
        is_gzip: whether the file is compressed as a whole.
        pair: whether the values lie in an ``.img`` file of the same name.

    Raises:
        Reject: ``file.corrupt``, ``file.type_unknown``, ``data.axes``, ``data.not_real``.
    """
    version, order = _version(head)
    block = head[: 348 if version == 1 else 540]
    _check_magic(head, version, pair)
    if version == 1:
        dimensions = struct.unpack_from(f"{order}8h", block, 40)
        kind, bits = struct.unpack_from(f"{order}2h", block, 70)
        offset, slope, intercept = struct.unpack_from(f"{order}3f", block, 108)
        units = block[123]
    else:
        kind, bits = struct.unpack_from(f"{order}2h", block, 12)
        dimensions = struct.unpack_from(f"{order}8q", block, 16)
        (offset,) = struct.unpack_from(f"{order}q", block, 168)
        slope, intercept = struct.unpack_from(f"{order}2d", block, 176)
        units = struct.unpack_from(f"{order}i", block, 500)[0] & 0xFF
    sizes = _sizes(dimensions)
    least = 0 if pair else len(block)
    if not math.isfinite(offset) or not least <= offset <= _LARGEST_OFFSET or offset != int(offset):
        raise corrupt(f"its header puts the values at byte {offset:g}")
    if slope == 0 or not math.isfinite(slope):
        slope, intercept = 1.0, 0.0
    if not math.isfinite(intercept):
        raise corrupt("its intercept is not finite")
    spacing, origin, direction = _geometry(block, version, order, len(sizes), _MM.get(units & 7, 1.0))
    return VolumeHeader(
        f"NIfTI-{version}",
        sizes[::-1],
        _type(kind, bits, order),
        int(offset),
        "gzip" if is_gzip else "none",
        spacing=spacing,
        origin=origin,
        direction=direction,
        slope=float(slope),
        intercept=float(intercept),
        exact=False,
    )


def _version(head: bytes) -> tuple[int, str]:
    if len(head) >= 4:
        for order in "<>":
            size = struct.unpack_from(f"{order}i", head)[0]
            if size in _SIZES and len(head) >= size:
                return _SIZES[size], order
    raise corrupt("it ends within its header" if len(head) < 348 else "it has no NIfTI header")


def _check_magic(head: bytes, version: int, pair: bool) -> None:
    magic = head[344:348] if version == 1 else head[4:12]
    letters = b"ni" if pair else b"n+"
    due = letters + (b"1\0" if version == 1 else b"2\0\r\n\x1a\n")
    if magic == due:
        return
    if pair and not any(magic):
        raise Reject(
            "file.type_unknown",
            "has an Analyze 7.5 header, which names no orientation",
            "Convert it to NIfTI.",
        )
    raise corrupt("its header is not that of a NIfTI " + ("pair" if pair else "file"))


def _sizes(dimensions: tuple[int, ...]) -> tuple[int, ...]:
    count = dimensions[0]
    if not 1 <= count <= 7:
        raise corrupt(f"its header announces {count} as the number of its axes")
    sizes = dimensions[1 : count + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    check_axes(sizes)
    return sizes


def _type(kind: int, bits: int, order: str) -> np.dtype[Any]:
    if kind in _OTHERS:
        raise Reject(
            "data.not_real", f"holds {_OTHERS[kind]}, not real numbers", "Save one real number a voxel."
        )
    if kind not in _TYPES:
        raise corrupt(f"its header announces the unknown data type {kind}")
    dtype = np.dtype(order + _TYPES[kind])
    if bits != dtype.itemsize * 8:
        raise corrupt(f"its header announces {bits} bits for values of {dtype.itemsize * 8}")
    return dtype


def _geometry(
    block: bytes, version: int, order: str, n_axes: int, unit: float
) -> tuple[Floats | None, Floats | None, Floats | None]:
    """Spacing and origin in mm in array order, and direction, each ``None`` where the header has none."""
    header = _nibabel_header(block, version, order)
    steps = np.abs(np.asarray(header["pixdim"][1:5], np.float64)) * unit
    spatial = min(n_axes, 3)
    if not np.all(np.isfinite(steps[:n_axes])):
        raise corrupt("its voxel sizes are not finite")
    in_time = () if n_axes < 4 else (float(steps[3]) / unit,)
    if not (header["sform_code"] > 0 or header["qform_code"] > 0):
        lengths = tuple(steps[:spatial].tolist())
        return ((*in_time, *lengths[::-1]) if all(lengths) else None), None, None
    affine = _affine(header) * np.array([unit, unit, unit, 1.0])
    vectors = _TO_LEFT_BACK_UP[:, None] * affine[:3, :3]
    spacing, direction = facts_of_axes(vectors[:spatial, :spatial])
    if spacing is None or direction is None:
        return None, None, None
    if np.allclose(spacing[::-1], steps[:spatial], rtol=_CLOSE, atol=0):
        spacing = tuple(steps[:spatial][::-1].tolist())
    place = _TO_LEFT_BACK_UP * affine[:3, 3] * unit + 0.0
    origin = tuple(place[:spatial][::-1].tolist())
    if n_axes < 4:
        return spacing, origin, direction
    four = np.eye(4)
    four[:3, :3] = np.reshape(direction, (3, 3))
    return (*in_time, *spacing), (0.0, *origin), tuple(four.ravel().tolist())


def _nibabel_header(block: bytes, version: int, order: str) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    return (Nifti1Header if version == 1 else Nifti2Header)(block, endianness=order, check=False)


def _affine(header: Any) -> npt.NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            affine = header.get_sform() if header["sform_code"] > 0 else header.get_qform()
        except Exception as error:  # nibabel's HeaderDataError is a plain Exception
            raise corrupt("its orientation is no rotation") from error
    if not np.all(np.isfinite(affine)):
        raise corrupt("its orientation is not finite")
    return np.asarray(affine, np.float64)
