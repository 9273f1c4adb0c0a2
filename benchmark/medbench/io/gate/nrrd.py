"""Headers of NRRD files whose values lie in the file itself; Slicer's ``.seg.nrrd`` with one layer too.

Source: the NRRD file format definition of the Teem project, version 5.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np

from medbench.core.text import counted
from medbench.io.gate.refusal import Reject, corrupt
from medbench.io.gate.volume_header import Floats, VolumeHeader, check_axes, facts_of_axes, finite, whole

LARGEST_HEADER = 1 << 20
_MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_NAMES = {name: code for code, names in _TYPES.items() for name in names.split("|")}
_SPACES = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_SPATIAL = ("domain", "space")


def parse_nrrd(content: bytes | bytearray) -> VolumeHeader:
    """The header of an NRRD file.

    Raises:
        Reject: ``file.corrupt``, ``file.codec``, ``file.refers_elsewhere``, ``data.axes``.
    """
    end = _END.search(content, 0, LARGEST_HEADER)
    if not _MAGIC.match(content) or end is None:
        raise corrupt("it has no whole NRRD header")
    fields = _fields(content[: end.start()])
    if "data file" in fields or "datafile" in fields:
        raise Reject(
            "file.refers_elsewhere", "keeps its values in another file", "Save it as one .nrrd file."
        )
    sizes = whole(_needed(fields, "sizes").split(), "sizes")
    if whole(_needed(fields, "dimension").split(), "dimension") != (len(sizes),):
        raise corrupt(
            f"its dimension is {fields['dimension'][:20]}, and it gives {counted(len(sizes), 'size')}"
        )
    kinds = fields.get("kinds", " ".join(["domain"] * len(sizes))).split()
    spatial, channels = _axes(sizes, kinds)
    check_axes(spatial)
    spacing, origin, direction = _geometry(fields, len(spatial), len(sizes) - len(spatial))
    for key in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(key, "0") != "0":
            raise Reject("file.codec", f"its header skips bytes ({key})", "Save it without skips.")
    return VolumeHeader(
        "NRRD",
        (*spatial[::-1], *channels),
        _type(fields),
        end.end(),
        _packing(fields),
        spacing=spacing,
        origin=origin,
        direction=direction,
    )


def _fields(head: bytes | bytearray) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        line = line.rstrip("\r")
        key, sign, value = line.partition(": ")
        if line.startswith("#") or not sign or ":=" in key:
            if line.strip().lower().startswith(("data file:", "datafile:")):
                fields["data file"] = ""
            continue
        key = key.strip().lower()
        if key in fields:
            raise corrupt(f"its header gives '{key[:30]}' twice")
        fields[key] = value.strip()
    return fields


def _needed(fields: dict[str, str], key: str) -> str:
    if key not in fields:
        raise corrupt(f"its header gives no {key}")
    return fields[key]


def _axes(sizes: tuple[int, ...], kinds: list[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the spatial axes, and the number of channels where the first axis holds them."""
    if len(kinds) != len(sizes):
        raise corrupt(f"it gives {counted(len(kinds), 'kind')} for its {len(sizes)} sizes")
    if kinds[0].lower() == "list":
        raise Reject(
            "data.axes",
            f"holds segments in layers ({sizes[0]}), which may overlap",
            "Export a label map with one layer.",
        )
    if kinds[0].lower() in (*_SPATIAL, "???", "none"):
        return sizes, ()
    return sizes[1:], (sizes[:1] if sizes[0] != 1 else ())


def _type(fields: dict[str, str]) -> np.dtype[Any]:
    name = _needed(fields, "type").lower()
    if name not in _TYPE_NAMES:
        raise corrupt(f"its type is '{name[:30]}'")
    dtype = np.dtype(_TYPE_NAMES[name])
    if dtype.itemsize == 1:
        return dtype
    order = {"little": "<", "big": ">"}.get(_needed(fields, "endian").lower())
    if order is None:
        raise corrupt(f"its endian is '{fields['endian'][:20]}'")
    return np.dtype(order + dtype.str[1:])


def _packing(fields: dict[str, str]) -> Literal["none", "gzip values"]:
    encoding = _needed(fields, "encoding").lower()
    if encoding == "raw":
        return "none"
    if encoding in ("gzip", "gz"):
        return "gzip values"
    raise Reject("file.codec", f"is encoded as '{encoding[:20]}'", "Save it with encoding raw or gzip.")


def _geometry(
    fields: dict[str, str], n_axes: int, n_skip: int
) -> tuple[Floats | None, Floats | None, Floats | None]:
    if "space directions" not in fields:
        if "spacings" not in fields:
            return None, None, None
        words = [word for word in fields["spacings"].split()[n_skip:] if word.lower() != "nan"]
        numbers = [abs(number) for number in finite(words, len(words), "spacings")]
        is_complete = len(numbers) == n_axes and all(numbers)
        return (tuple(numbers[::-1]) if is_complete else None), None, None
    signs = _signs(fields)
    vectors = re.findall(r"\(([^()]*)\)|none", fields["space directions"], re.IGNORECASE)
    columns = [finite(text.split(","), len(signs), "space directions") for text in vectors[n_skip:]]
    if len(columns) != n_axes:
        raise corrupt(f"it gives {counted(len(columns), 'space direction')} for its {n_axes} sizes")
    if n_axes != len(signs):
        return None, None, None
    spacing, direction = facts_of_axes(signs[:, None] * np.array(columns).T)
    origin = None
    if "space origin" in fields:
        position = finite(fields["space origin"].strip("() ").split(","), n_axes, "space origin")
        origin = tuple((signs * position + 0.0)[::-1].tolist())
    return spacing, origin, direction


def _signs(fields: dict[str, str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Signs that turn the file's world axes to left, back and up."""
    if "space" in fields:
        name = fields["space"].lower()
        if name not in _SPACES:
            raise corrupt(f"its space is '{name[:40]}'")
        return np.array(_SPACES[name], np.float64)
    count = whole(_needed(fields, "space dimension").split(), "space dimension")[0]
    if not 1 <= count <= 4:
        raise corrupt(f"its space dimension is {count}")
    return np.ones(count)
