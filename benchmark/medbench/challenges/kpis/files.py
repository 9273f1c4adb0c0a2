"""Where the files of KPIs 2024 lie: patches and slides in the layouts that are in circulation.

Sources: hrlblab/KPIs2024@7d56473 (dockers of both tasks) and listings of unpacked copies by participants.
Archives are named ``KPIs24 Training Data``, ``… Validation Data`` and ``… Testing Data``; within them group
folders differ in case (``56Nx``, ``56NX``) and slide names have ``_`` or ``-`` (``12_116``, ``12-116``).

* patches: ``Task1_patch_level/<split>/<group>/<slide>/img/<group>_<slide>_<k>_<x>_<y>_img.jpg`` and
  ``…/mask/…_mask.jpg`` (in some copies ``…_img.jpg`` again); ``x`` is the column, ``y`` the row.
* slides: ``Task2_WSI_level/<group>/<slide>_wsi.tiff`` and ``<slide>_mask.tiff``, or as the docker mounts them
  ``<group>/img/`` and ``<group>/mask/``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("56Nx", "DN", "NEP25", "normal")
SPLITS = ("train", "validation", "test")
UNNAMED_SPLIT = "test"
_SPLIT = re.compile(r"^(?:kpis\w*[ _-])?(train|val|test)(?:ing|idation)?(?:[ _-]data)?$", re.IGNORECASE)
_PATCH = re.compile(r"^(?P<stem>.+_(?P<k>\d+)_(?P<x>\d+)_(?P<y>\d+))_img\.(?:jpe?g|png)$", re.IGNORECASE)
_SLIDE = re.compile(r"^(?P<name>.+)_wsi\.(?:tiff?|svs)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of a slide.

    Attributes:
        group: as :data:`GROUPS` spells it, or the folder's own name where it is none of them.
        slide: name of the slide's folder.
        stem: file name without ``_img.jpg``.
        picture: path of the picture.
        mask: path of the mask, or where it should be.
        split: ``train``, ``validation`` or ``test``.
        column: of the patch's first pixel in the slide at the working level.
        row: likewise.
    """

    group: str
    slide: str
    stem: str
    picture: Path
    mask: Path
    split: str
    column: int
    row: int


@dataclass(frozen=True, slots=True)
class Slide:
    """A whole slide; the attributes are those of :class:`Patch`."""

    group: str
    name: str
    picture: Path
    mask: Path
    split: str


def group_of(folder: str) -> str:
    """A group folder's name in the one spelling.

    >>> group_of("56NX"), group_of("Normal"), group_of("cortex")
    ('56Nx', 'normal', 'cortex')
    """
    return next((group for group in GROUPS if group.casefold() == folder.casefold()), folder)


def slide_key(group: str, slide: str) -> str:
    """One name for a slide, whichever separator its files use.

    >>> slide_key("56Nx", "12-116") == slide_key("56Nx", "12_116")
    True
    """
    return f"{group}/{slide.replace('-', '_')}"


def split_of(path: Path, root: Path) -> str:
    """The split that a folder on the way names, the nearest first; files that name none are a test set.

    >>> split_of(Path("d/KPIs24 Training Data/Task1_patch_level/data/DN"), Path("d"))
    'train'
    """
    names = [*reversed(path.relative_to(root).parts), root.name]
    for name in names:
        match = _SPLIT.match(name)
        if match:
            return {"train": "train", "val": "validation", "test": "test"}[match[1].lower()]
    return UNNAMED_SPLIT


def find_patches(root: Path) -> list[Patch]:
    """Every patch below a folder, in the order of group, slide and place."""
    found = []
    for folder, files in _walk(root):
        if folder.name.lower() != "img" or len(folder.relative_to(root).parts) < 3:
            continue
        group, slide = group_of(folder.parents[1].name), folder.parent.name
        split, masks = split_of(folder, root), folder.parent / _sibling(folder, "mask")
        there = set(os.listdir(masks)) if masks.is_dir() else set()
        for name in files:
            match = _PATCH.match(name)
            if match:
                mask = masks / _mask_name(name, there)
                place = int(match["x"]), int(match["y"])
                found.append(Patch(group, slide, match["stem"], folder / name, mask, split, *place))
    return sorted(found, key=lambda patch: (patch.group, patch.slide, patch.row, patch.column, patch.stem))


def find_slides(root: Path) -> list[Slide]:
    """Every slide below a folder, in the order of group and name."""
    found = []
    for folder, files in _walk(root):
        for name in files:
            match = _SLIDE.match(name)
            if match:
                in_docker = folder.name.lower() == "img"
                group = group_of((folder.parent if in_docker else folder).name)
                masks = folder.parent / _sibling(folder, "mask") if in_docker else folder
                there = os.listdir(masks) if masks.is_dir() else []
                wanted = f"{match['name']}_mask.tif"
                mask = next(
                    (other for other in there if other.lower().startswith(wanted.lower())), f"{wanted}f"
                )
                split = split_of(folder, root)
                found.append(Slide(group, match["name"], folder / name, masks / mask, split))
    return sorted(found, key=lambda slide: (slide.group, slide.name))


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, _, files in os.walk(root):
        yield Path(folder), sorted(files)


def _sibling(folder: Path, name: str) -> str:
    """The name of a folder beside another, whatever its case."""
    beside = os.listdir(folder.parent)
    return next((other for other in beside if other.lower() == name), name)


def _mask_name(picture: str, there: set[str]) -> str:
    stem, suffix = os.path.splitext(picture)
    stem = stem[: -len("_img")]
    candidates = [f"{stem}_mask{suffix}", f"{stem}_mask.png", picture]
    return next((name for name in candidates if name in there), candidates[0])
