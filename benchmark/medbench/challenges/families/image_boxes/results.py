"""Detections as COCO result JSON: a list of objects with image, category, box and score.

``image_id`` is the image's name in the release, as text or as a number, with or without the suffix of its
file; ``category_id`` counts the card's classes from 1; ``bbox`` is left, top, width and height in pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.files import dump_json
from medbench.core.sample import Boxes
from medbench.io.json_values import read_json_value

_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
_FORM = 'Each entry is {"image_id": …, "category_id": …, "bbox": [left, top, width, height], "score": …}.'


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of detections as it stands.

    Attributes:
        path: the file.
        entries: image -> its entries, each with its place in the file, from 1 on.
    """

    path: Path
    entries: Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]]

    def boxes(self, name: str, classes: Sequence[str]) -> Boxes:
        """Detections in an image; none where the file has no entry of it.

        Args:
            name: of the image.
            classes: names of the classes.

        Raises:
            MedbenchError: ``prediction.entry`` naming file, entry and image.
        """
        corners, scores, labels = [], [], []
        for number, entry in self.entries.get(name, ()):
            where = f"{self.path}, entry {number} ({name})"
            left, top, width, height = _bbox(entry, where)
            corners.append([left, top, left + width, top + height])
            scores.append(_score(entry, where))
            labels.append(_category(entry, where, classes) - 1)
        return Boxes(
            np.array(corners, np.float64).reshape(-1, 4),
            np.array(scores, np.float64),
            np.array(labels, np.int64),
        )

    def refuse_unknown(self, names: frozenset[str]) -> None:
        """Refuse a file with detections in an image that the release does not have.

        Raises:
            MedbenchError: ``prediction.image_unknown`` naming file, entry and image.
        """
        for name, entries in self.entries.items():
            if name not in names:
                raise MedbenchError(
                    "prediction.image_unknown",
                    f"{self.path}, entry {entries[0][0]}: there is no image '{name[:60]}' in the release.",
                    "image_id is the image's name, without folder.",
                )


def read_results(path: Path) -> ResultFile:
    """A file of detections, read once while it stays as it is.

    Raises:
        MedbenchError: what the gate refuses, ``data.json``, or ``prediction.entry`` for what is no list of
            objects with an ``image_id``.
    """
    try:
        state = path.lstat()
    except OSError as error:
        reason = error.strerror or "not there"
        raise MedbenchError(
            "file.unreadable", f"{path}: cannot be read ({reason}).", "Check the path."
        ) from error
    return _read(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _read(path: Path, state: tuple[int, ...]) -> ResultFile:
    value = read_json_value(path, "prediction")
    if not isinstance(value, list):
        raise _refusal(f"{path}: is no list of detections, but {_kind(value)}")
    entries: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, entry in enumerate(value, 1):
        image = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(image, str | int) or isinstance(image, bool):
            raise _refusal(f"{path}, entry {number}: names no image")
        entries.setdefault(_plain(str(image)), []).append((number, entry))
    return ResultFile(path, entries)


def result_text(detections: Iterable[tuple[str, Boxes]]) -> str:
    """The file's text, one detection a line.

    Args:
        detections: name of an image and its detections.
    """
    lines = [
        dump_json(
            {
                "image_id": name,
                "category_id": int(label) + 1,
                "bbox": [_short(v) for v in (left, top, right - left, bottom - top)],
                "score": _short(score),
            }
        )
        for name, boxes in detections
        for (left, top, right, bottom), score, label in zip(
            np.asarray(boxes.corners, np.float64).tolist(), boxes.scores, boxes.classes, strict=True
        )
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def _short(value: float) -> float:
    return float(f"{float(value):.9g}")


def _plain(name: str) -> str:
    """An image's name without the suffix of its file."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in _SUFFIXES else name


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object" + (" with annotations" if "annotations" in value else "")
    return "a single value"


def _refusal(facts: str) -> MedbenchError:
    return MedbenchError("prediction.entry", f"{facts}.", _FORM)


def _number(value: object) -> float | None:
    """A finite number, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _bbox(entry: Mapping[str, Any], where: str) -> list[float]:
    value = entry.get("bbox")
    numbers = [_number(part) for part in value] if isinstance(value, list) else []
    sides = [number for number in numbers if number is not None]
    if len(numbers) != 4 or len(sides) != 4:
        raise _refusal(f"{where}: bbox is no list of four numbers")
    if sides[2] < 0 or sides[3] < 0:
        raise _refusal(f"{where}: the box is {sides[2]:g} wide and {sides[3]:g} high")
    return sides


def _score(entry: Mapping[str, Any], where: str) -> float:
    number = _number(entry.get("score"))
    if number is None:
        raise _refusal(f"{where}: score is no number")
    return number


def _category(entry: Mapping[str, Any], where: str, classes: Sequence[str]) -> int:
    value = entry.get("category_id")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= len(classes):
        known = ", ".join(f"{number} {name}" for number, name in enumerate(classes, 1))
        raise _refusal(f"{where}: category_id is {str(value)[:20]}; known are {known}")
    return value
