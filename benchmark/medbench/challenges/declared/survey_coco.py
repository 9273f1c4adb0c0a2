"""A look at a folder with COCO JSON: where its images lie, its categories, its splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.challenges.declared.coco import category_ids, coco_value
from medbench.challenges.declared.splits import MEANINGS
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.text import agreeing, counted, named

_SPLIT = re.compile(rf"(?<![a-z])({'|'.join(sorted(MEANINGS, key=len, reverse=True))})(?![a-z])")


@dataclass(slots=True)
class Survey:
    """Contents of a folder, as entries of a declaration.

    Attributes:
        entries: of the declaration, as TOML values.
        lines: sentences on the folder.
        faults: what keeps the folder from being declared as it is.
        groups: sentences on groups that folders give, which hold where no other groups are asked for.
    """

    entries: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


def survey_coco(folder: Path, names: Sequence[str]) -> Survey | None:
    """The declaration of a folder with COCO JSON; ``None`` where it has none.

    Args:
        folder: the data.
        names: paths of all files below it.

    Raises:
        MedbenchError: ``data.coco``, or ``data.coco_files`` for several files that are no splits of one.
    """
    files = _coco_files(folder, names)
    if not files:
        return None
    splits = _splits(folder, list(files))
    table = _template(next(iter(files)), splits)
    result = Survey()
    ids, objects, count = _categories(folder, files)
    result.entries = {
        "task": "detection", "layout": "coco", "table": table,
        "images": _images(result, names, files, splits), "labels": ids,
        "splits": list(splits.values()) or {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    n_images = sum(len(value["images"]) for value in files.values())
    parts = ", ".join(f"{name} {objects[name]}" for name in ids)
    result.lines.insert(
        0, f"COCO JSON {table}: {counted(n_images, 'image')} with {counted(count, 'object')} ({parts})."
    )
    return result


def _coco_files(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    files = {}
    for name in names:
        if name.endswith(".json"):
            value = guarded(name, lambda name=name: coco_value(folder / name))  # type: ignore[misc]
            if value is not None and not isinstance(value, Failure):
                files[name] = value
    return files


def _splits(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """File -> split of several files; empty for a single one."""
    if len(names) == 1:
        return {}
    words = {name: _SPLIT.search(name) for name in names}
    splits = {name: word[1] for name, word in words.items() if word is not None}
    templates = {_template(name, splits) for name in names}
    if len(templates) > 1 or len(set(splits.values())) < len(names):
        raise MedbenchError(
            "data.coco_files",
            f"{folder}: {len(names)} COCO JSON files are no splits of one data set: {named(names)}.",
            "Keep one, or name them alike save for train, val and test.",
        )
    return splits


def _template(name: str, splits: Mapping[str, str]) -> str:
    """A path with ``{split}`` for the split's name, wherever that stands alone."""
    if name not in splits:
        return name
    return re.sub(rf"(?<![a-z]){splits[name]}(?![a-z])", "{split}", name)


def _categories(
    folder: Path, files: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, int], Counter[str], int]:
    """Ids of the categories that have objects, objects of each, and all objects."""
    ids: dict[str, int] = {}
    objects, count = Counter[str](), 0
    for name, value in files.items():
        own = category_ids(folder / name, value)
        named_by_id = {id: category for category, id in own.items()}
        ids |= own
        for entry in value["annotations"]:
            category = entry.get("category_id") if isinstance(entry, dict) else None
            objects[named_by_id.get(category, "") if isinstance(category, int) else ""] += 1
            count += 1
    if not ids:
        raise MedbenchError(
            "data.coco",
            f"{folder / next(iter(files))}: names no category.",
            'Add them: "categories": [{"id": 1, "name": "polyp"}].',
        )
    own_ids = {name: id for name, id in sorted(ids.items(), key=lambda one: one[1]) if objects[name]}
    return own_ids or ids, objects, count


def _images(
    result: Survey,
    names: Sequence[str],
    files: Mapping[str, Mapping[str, Any]],
    splits: Mapping[str, str],
) -> str:
    """Template of the images; those that are not there are a fault."""
    templates, entries = Counter[str](), []
    paths = set(names)
    for name, value in files.items():
        for entry in value["images"]:
            file_name = str(entry.get("file_name", "")) if isinstance(entry, dict) else ""
            entries.append((name, file_name))
    by_base: dict[str, list[str]] = {}
    for path in names:
        by_base.setdefault(Path(path).name, []).append(path)
    for name, file_name in entries:
        for path in by_base.get(Path(file_name).name, ()):
            if f"/{path}".endswith(f"/{file_name}"):
                folder = path.removesuffix(file_name)
                templates[_template_of_folder(folder, splits.get(name, "")) + "{case}"] += 1
    template = templates.most_common(1)[0][0] if templates else "images/{case}"
    missing = [
        file_name
        for name, file_name in entries
        if template.replace("{split}", splits.get(name, "")).replace("{case}", file_name) not in paths
    ]
    if missing:
        are = agreeing(len(missing), "image of the JSON is", "images of the JSON are")
        result.faults.append(f"{len(missing)} {are} not there: {named(missing)}.")
    return template


def _template_of_folder(folder: str, split: str) -> str:
    return re.sub(rf"(?<![a-z]){split}(?![a-z])", "{split}", folder) if split else folder
