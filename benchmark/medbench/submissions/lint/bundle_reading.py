"""What a linter reads of a zip that somebody packed: names, sizes and small texts, whatever it unpacks to."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.submissions.findings import Finding, error

MOST_BYTES = 1 << 20
"""Most bytes of a text that is read: titles, dates and names of files."""
MOST_VALUES = 100_000
"""Most values of a YAML file when all that its aliases repeat is written out."""
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What reading a zip raises that is damaged, encrypted or packed in another way."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of a zip: the bytes of its small texts that are read, and the size of every file by its name."""

    texts: Mapping[str, bytes]
    sizes: Mapping[str, int]

    def holds(self, name: str) -> bool:
        """Whether there is a file or a folder of that name."""
        place = name.removeprefix("./").rstrip("/")
        return bool(place) and any(one == place or one.startswith(f"{place}/") for one in self.sizes)


def read_bundle(path: Path, is_read: Callable[[str], bool], advice: str) -> Bundle | Finding:
    """The files of a zip, every checksum verified; a finding where it is none, damaged, or has large texts.

    Args:
        path: the zip.
        is_read: whether a file of a name is a text that is read.
        advice: of the finding.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.compress_size for entry in entries) > path.stat().st_size:
                return error("bundle.damaged", f"{path}: its files overlap.", advice)
            if bad_file := archive.testzip():
                return error("bundle.damaged", f"{path}: {bad_file} is damaged.", advice)
            texts = [entry for entry in entries if is_read(entry.filename)]
            for entry in texts:
                if entry.file_size > MOST_BYTES:
                    text = (
                        f"{path}: {entry.filename} takes {entry.file_size:,} bytes, at most {MOST_BYTES:,}."
                    )
                    return error("bundle.too_large", text, "Leave out what it does not need.")
            return Bundle(
                {entry.filename: archive.read(entry) for entry in texts},
                {entry.filename: entry.file_size for entry in entries},
            )
    except (*_ZIP_ERRORS, OSError) as failure:
        return error("bundle.unreadable", f"{path}: is no zip ({failure}).", advice)


def parse_yaml(text: bytes) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: for whatever is no YAML, dates that no calendar has, values of another type than their
            tag's, lists nested too deep, and aliases that repeat without end or more than
            :data:`MOST_VALUES` values.
    """
    import yaml

    try:
        value = yaml.safe_load(text)
        count = _count(value, {})
    except yaml.YAMLError as failure:
        raise ValueError(" ".join(str(failure).split())) from failure
    except RecursionError as failure:
        raise ValueError("its lists are nested too deep") from failure
    except (ArithmeticError, AttributeError, LookupError, TypeError) as failure:
        raise ValueError("one of its values is not of the type that its tag names") from failure
    if count > MOST_VALUES:
        raise ValueError(f"its aliases repeat more than {MOST_VALUES:,} values")
    return value


def _count(value: object, counts: dict[int, float]) -> float:
    """Values that a value holds, each as often as it stands there; infinity where it holds itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counts:
        counts[id(value)] = math.inf
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        counts[id(value)] = 1 + sum(_count(part, counts) for part in parts)
    return counts[id(value)]
