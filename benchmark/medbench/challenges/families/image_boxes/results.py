"""Detections as COCO result JSON: a list of objects with image, category, box and score.

``image_id`` is the image's name in the release, as text or as a number, with or without the suffix of its
file; ``category_id`` counts the card's classes from 1; ``bbox`` is left, top, width and height in pixels.
Where the release itself is COCO JSON, numbers are its own: ids of images and of categories.
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
from medbench.io import raster
from medbench.io.caches import file_state
from medbench.io.json_values import read_json_value

_FORM = 'Each entry is {"image_id": …, "category_id": …, "bbox": [left, top, width, height], "score": …}.'


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of detections as it stands.

    Attributes:
        path: the file.
        entries: image, a name or a number -> its entries, each with its place in the file, from 1 on.
    """

    path: Path
    entries: Mapping[str | int, Sequence[tuple[int, Mapping[str, Any]]]]

    def boxes(self, keys: Sequence[str | int], categories: Mapping[int, str]) -> Boxes:
        """Detections in an image; none where the file has no entry of it.

        Args:
            keys: the image's name, and the number that stands for it if there is one.
            categories: category id -> name, in the order of the classes.

        Raises:
            MedbenchError: ``prediction.entry`` naming file, entry and image.
        """
        corners, scores, labels = [], [], []
        order, name = list(categories), keys[0]
        for number, entry in (one for key in keys for one in self.entries.get(key, ())):
            where = f"{self.path}, entry {number} ({name})"
            left, top, width, height = _bbox(entry, where)
            corners.append([left, top, left + width, top + height])
            scores.append(_score(entry, where))
            labels.append(order.index(_category(entry, where, categories)))
        return Boxes(
            np.array(corners, np.float64).reshape(-1, 4),
            np.array(scores, np.float64),
            np.array(labels, np.int64),
        )

    def refuse_unknown(self, keys: frozenset[str | int]) -> None:
        """Refuse a file with detections in an image that the release does not have.

        Raises:
            MedbenchError: ``prediction.image_unknown`` naming file, entry and image.
        """
        for key, entries in self.entries.items():
            if key not in keys:
                raise MedbenchError(
                    "prediction.image_unknown",
                    f"{self.path}, entry {entries[0][0]}: there is no image '{str(key)[:60]}' in the data.",
                    "image_id is the image's name, without folder.",
                )


def read_results(path: Path) -> ResultFile:
    """A file of detections, read once while it stays as it is.

    Raises:
        MedbenchError: what the gate refuses, ``data.json``, or ``prediction.entry`` for what is no list of
            objects with an ``image_id``.
    """
    return _read(path, file_state(path))


@functools.lru_cache(maxsize=4)
def _read(path: Path, state: tuple[int, ...]) -> ResultFile:
    value = read_json_value(path, "prediction")
    if not isinstance(value, list):
        raise _refusal(f"{path}: is no list of detections, but {_kind(value)}")
    entries: dict[str | int, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, entry in enumerate(value, 1):
        image = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(image, str | int) or isinstance(image, bool):
            raise _refusal(f"{path}, entry {number}: names no image")
        key = image if isinstance(image, int) else raster.without_suffix(image)
        entries.setdefault(key, []).append((number, entry))
    return ResultFile(path, entries)


def number_of(name: str) -> tuple[int, ...]:
    """The number that a name without leading zeros is; nothing for other names.

    >>> number_of("12"), number_of("012"), number_of("a")
    ((12,), (), ())
    """
    return (int(name),) if name.isascii() and name.isdigit() and str(int(name)) == name else ()


def keys_of(names: Iterable[str]) -> frozenset[str | int]:
    """By what files of detections may call images of these names."""
    keys: set[str | int] = set()
    for name in names:
        keys |= {name, *number_of(name)}
    return frozenset(keys)


def result_text(detections: Iterable[tuple[str | int, Boxes]], categories: Sequence[int]) -> str:
    """The file's text, one detection a line.

    Args:
        detections: name or number of an image, and its detections.
        categories: category id of each class.
    """
    lines = [
        dump_json(
            {
                "image_id": name,
                "category_id": categories[int(label)],
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


def _category(entry: Mapping[str, Any], where: str, categories: Mapping[int, str]) -> int:
    value = entry.get("category_id")
    if isinstance(value, bool) or not isinstance(value, int) or value not in categories:
        names = ", ".join(f"{number} {name}" for number, name in categories.items())
        raise _refusal(f"{where}: category_id is {str(value)[:20]}; known are {names}")
    return value
