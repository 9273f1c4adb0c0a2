"""COCO JSON of a declared data set: images, categories and boxes, by the ids that the file gives them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medbench.challenges.declared.declaration import Declaration
from medbench.core.errors import MedbenchError
from medbench.io.json_values import read_json_value

Box = tuple[float, float, float, float, int]
PARTS = ("images", "annotations", "categories")
_FORM = "See the data format on cocodataset.org: images, annotations and categories, each with ids."


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of COCO JSON.

    Attributes:
        file_name: below the folder of the images.
        number: its id; ``None`` where that is text, by which files of detections cannot call it.
        boxes: left, top, right, bottom in pixels and the index of the class; of none where there is a fault.
        size: width and height that the file states; ``None`` where it states none.
        group: value of the declared column; empty without.
        fault: why the boxes cannot be used.
    """

    file_name: str
    number: int | None
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    group: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The content of COCO JSON.

    Attributes:
        path: the file.
        images: in the file's order.
        stray: ids of annotations whose image the file does not have.
    """

    path: Path
    images: tuple[CocoImage, ...]
    stray: tuple[str, ...] = ()


def coco_tables(declaration: Declaration, root: Path) -> Iterator[tuple[str, Path]]:
    """Split and file of each COCO JSON; the split is empty where one file holds all."""
    splits = declaration.splits.names if declaration.splits.rule == "given" else ("",)
    for split in splits:
        yield split, root / declaration.table.replace("{split}", split)


def read_coco(path: Path, declaration: Declaration) -> CocoFile:
    """The images of a file with their boxes, read once while the file stays as it is.

    Raises:
        MedbenchError: what the gate refuses, ``data.coco`` for what is no COCO JSON, or
            ``data.coco_categories`` for ids of categories that are not those of the declaration.
    """
    try:
        state = path.lstat()
    except OSError as error:
        hint = f"Correct table of [data.{declaration.name}] in {declaration.path}."
        raise MedbenchError("data.missing", f"{path}: there is no such file.", hint) from error
    labels = tuple(declaration.labels.items())
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
    return _read(path, labels, declaration.columns.get("group", ""), stamp)


def coco_value(path: Path) -> dict[str, Any] | None:
    """The value of a file that has COCO's three parts; ``None`` for another one.

    Raises:
        MedbenchError: what the gate refuses, or ``data.json``.
    """
    value = read_json_value(path)
    is_coco = isinstance(value, dict) and all(isinstance(value.get(part), list) for part in PARTS)
    return value if is_coco else None


def category_ids(path: Path, value: Mapping[str, Any]) -> dict[str, int]:
    """Name of each category -> its id, in the order of the ids.

    Raises:
        MedbenchError: ``data.coco`` for a category without id or name, or with those of another.
    """
    ids: dict[str, int] = {}
    for number, entry in enumerate(value["categories"], 1):
        id, name = _field(entry, "id"), _field(entry, "name")
        if not isinstance(id, int) or isinstance(id, bool) or not isinstance(name, str) or not name:
            raise _wrong(path, f"category {number} has no whole number as id, or no name")
        if name in ids or id in ids.values():
            raise _wrong(path, f"category {number} has the name or the id of another ({id}, '{name}')")
        ids[name] = id
    return dict(sorted(ids.items(), key=lambda entry: entry[1]))


@functools.lru_cache(maxsize=8)
def _read(path: Path, labels: Sequence[tuple[str, int]], column: str, state: tuple[int, ...]) -> CocoFile:
    value = coco_value(path)
    if value is None:
        raise _wrong(path, f"lacks one of the lists {', '.join(PARTS)}")
    own, label_ids = category_ids(path, value), dict(labels)
    other = next((name for name in own if name in label_ids and own[name] != label_ids[name]), None)
    if other is not None:
        raise MedbenchError(
            "data.coco_categories",
            f"{path}: the category '{other}' has the id {own[other]}, in labels {label_ids[other]}.",
            "All JSON files of a data set need the same ids of categories.",
        )
    classes = {id: index for index, id in enumerate(label_ids.values())}
    entries = _entries_of(path, value["images"], column)
    objects: dict[Any, list[tuple[int, Any]]] = {id: [] for id, _ in entries}
    stray = []
    for number, entry in enumerate(value["annotations"], 1):
        image = _field(entry, "image_id")
        if _is_id(image) and image in objects:
            objects[image].append((number, entry))
        else:
            stray.append(str(_field(entry, "id") or number))
    images = (_image(path, facts, objects[id], classes) for id, facts in entries)
    return CocoFile(path, tuple(images), tuple(stray))


def _entries_of(path: Path, entries: Sequence[Any], column: str) -> list[tuple[int | str, CocoImage]]:
    """Id and facts of each image, without boxes."""
    images: dict[int | str, CocoImage] = {}
    for number, entry in enumerate(entries, 1):
        id, name = _field(entry, "id"), _field(entry, "file_name")
        if not _is_id(id) or not isinstance(name, str) or not name.strip():
            raise _wrong(path, f"image {number} has no id or no file_name")
        if id in images:
            raise _wrong(path, f"two images have the id {id}, {images[id].file_name} and {name}")
        sides = _field(entry, "width"), _field(entry, "height")
        size = sides if all(isinstance(side, int) and side > 0 for side in sides) else None
        if column and _field(entry, column) in (None, ""):
            raise _wrong(path, f"image {number} ({name}) has no {column}, which group names")
        group = str(_field(entry, column)) if column else ""
        plain = PurePosixPath(name.replace("\\", "/")).as_posix()
        images[id] = CocoImage(plain, id if isinstance(id, int) else None, size=size, group=group)
    return list(images.items())


def _image(
    path: Path, facts: CocoImage, objects: Sequence[tuple[int, Any]], classes: Mapping[int, int]
) -> CocoImage:
    """The image with its boxes, or with the first fault of one."""
    boxes: list[Box] = []
    for number, entry in objects:
        box = _box(entry, classes)
        if isinstance(box, str):
            fault = f"{path}: annotation {number} of {facts.file_name} {box}."
            return CocoImage(facts.file_name, facts.number, (), facts.size, facts.group, fault)
        boxes.append(box)
    return CocoImage(facts.file_name, facts.number, tuple(boxes), facts.size, facts.group)


def _box(entry: Any, classes: Mapping[int, int]) -> Box | str:
    """The box of an annotation, or what is wrong with it."""
    sides, category = _field(entry, "bbox"), _field(entry, "category_id")
    if _field(entry, "iscrowd"):
        return "is a crowd of objects (iscrowd), which has no box of its own"
    if not isinstance(sides, list) or len(sides) != 4 or not all(map(_is_number, sides)):
        return "has no bbox of four numbers"
    if sides[2] <= 0 or sides[3] <= 0:
        return f"has a bbox {sides[2]:g} wide and {sides[3]:g} high"
    if not isinstance(category, int) or category not in classes:
        return f"has the category {str(category)[:20]}, which no name has"
    left, top, width, height = (float(side) for side in sides)
    return left, top, left + width, top + height, classes[category]


def _field(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _wrong(path: Path, facts: str) -> MedbenchError:
    return MedbenchError("data.coco", f"{path}: {facts}.", _FORM)
