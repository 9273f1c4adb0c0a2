"""Headers of MetaImage files (``.mha``, and ``.mhd`` with its data beside it).

Source: the MetaIO documentation of the Insight Toolkit.
"""

from __future__ import annotations

import re

import numpy as np

from medbench.core.text import counted
from medbench.io.gate.refusal import Reject, corrupt
from medbench.io.gate.volume_header import (
    MOST_CHANNELS,
    Floats,
    VolumeHeader,
    check_axes,
    facts_of_axes,
    finite,
    whole,
)

LARGEST_HEADER = 1 << 20
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_END = re.compile(rb"(?m)^ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_DECISIVE = {
    "ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData",
    "CompressedDataSize", "TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin",
    "ElementSpacing", "ElementSize", "DimSize", "HeaderSize", "ElementNumberOfChannels", "ElementType",
    "ElementDataFile",
}  # fmt: skip


def parse_metaimage(content: bytes | bytearray) -> tuple[VolumeHeader, str]:
    """The header of a MetaImage, and the name of the file of its values, ``LOCAL`` for this file.

    Raises:
        Reject: ``file.corrupt``, ``file.codec``, ``file.refers_elsewhere``, ``data.axes``.
    """
    end = _END.search(content, 0, LARGEST_HEADER)
    if end is None:
        raise corrupt("its header names no ElementDataFile")
    fields = _fields(content[: end.start()])
    values_in = end.group(1).decode("latin-1").strip()
    sizes = whole(_needed(fields, "DimSize"), "DimSize")
    if whole(_needed(fields, "NDims"), "NDims") != (len(sizes),):
        raise corrupt(f"NDims is {fields['NDims'].strip()}, and DimSize has {counted(len(sizes), 'number')}")
    check_axes(sizes)
    if not _flag(fields, "BinaryData", False):
        raise Reject("file.codec", "holds its values as text", "Save it with binary values.")
    channels = whole(fields.get("ElementNumberOfChannels", "1").split(), "ElementNumberOfChannels")
    if len(channels) != 1 or not 1 <= channels[0] <= MOST_CHANNELS:
        raise corrupt("its ElementNumberOfChannels is out of range")
    is_zlib = _flag(fields, "CompressedData", False)
    local = values_in.upper() == "LOCAL"
    spacing, origin, direction = _geometry(fields, len(sizes))
    header = VolumeHeader(
        "MetaImage",
        (*sizes[::-1], *(channels if channels[0] > 1 else ())),
        _type(fields),
        end.end() if local else 0,
        "zlib" if is_zlib else "none",
        stored_bytes=_stored_bytes(fields) if is_zlib else None,
        spacing=spacing,
        origin=origin,
        direction=direction,
    )
    if fields.get("HeaderSize", "0").strip() not in ("0", "-1") and not (
        local and fields["HeaderSize"].strip() == str(end.end())
    ):
        raise Reject("file.codec", "its header skips bytes (HeaderSize)", "Save it without HeaderSize.")
    return header, "LOCAL" if local else values_in


def _fields(head: bytes | bytearray) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n"):
        key, sign, value = line.partition("=")
        key = key.strip()
        if sign and key in _DECISIVE:
            if key in fields:
                raise corrupt(f"its header gives {key} twice")
            fields[key] = value.strip()
    if fields.get("ObjectType", "Image") != "Image":
        raise Reject("file.type_unknown", f"holds a MetaIO {fields['ObjectType'][:30]}", "Give an image.")
    return fields


def _needed(fields: dict[str, str], key: str) -> list[str]:
    if key not in fields:
        raise corrupt(f"its header gives no {key}")
    return fields[key].split()


def _flag(fields: dict[str, str], key: str, default: bool) -> bool:
    if key not in fields:
        return default
    try:
        return _BOOLEANS[fields[key].lower()]
    except KeyError:
        raise corrupt(f"its {key} is '{fields[key][:30]}', not True or False") from None


def _type(fields: dict[str, str]) -> np.dtype[np.generic]:
    name = fields.get("ElementType", "")
    if name not in _TYPES:
        raise corrupt(f"its ElementType is '{name[:30]}'")
    msb = _flag(fields, "BinaryDataByteOrderMSB", _flag(fields, "ElementByteOrderMSB", False))
    return np.dtype((">" if msb else "<") + _TYPES[name])


def _stored_bytes(fields: dict[str, str]) -> int | None:
    if "CompressedDataSize" not in fields:
        return None
    return whole(fields["CompressedDataSize"].split(), "CompressedDataSize")[0]


def _geometry(fields: dict[str, str], n_axes: int) -> tuple[Floats | None, Floats | None, Floats | None]:
    spacing = origin = direction = None
    lengths = fields.get("ElementSpacing", fields.get("ElementSize"))
    if lengths is not None:
        numbers = finite(lengths.split(), n_axes, "ElementSpacing")
        if any(number < 0 for number in numbers):
            raise corrupt("its ElementSpacing is negative")
        spacing = numbers[::-1] if all(numbers) else None
    for key in ("Offset", "Position", "Origin"):
        if key in fields:
            origin = finite(fields[key].split(), n_axes, key)[::-1]
            break
    for key in ("TransformMatrix", "Rotation", "Orientation"):
        if key in fields:
            matrix = np.reshape(finite(fields[key].split(), n_axes * n_axes, key), (n_axes, n_axes))
            _, direction = facts_of_axes(matrix.T)
            if direction is None:
                raise corrupt(f"its {key} has a column of zeros")
            direction = tuple((matrix.T + 0.0).ravel().tolist())
            break
    return spacing, origin, direction
