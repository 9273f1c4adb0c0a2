"""Files of KPIs 2024: patches and slides in all layouts in circulation, and their splits.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medbench.challenges.release import Release
from medbench.challenges.stray import Finding
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing
from medbench.io.gate.listing import is_metadata

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
        group: one of :data:`GROUPS`, or the folder's name where it is none of these.
        slide: name of the slide's folder.
        stem: file name without ``_img.jpg``.
        image: path of the image.
        mask: path of the mask, which may be missing.
        split: ``train``, ``validation`` or ``test``.
        column: column of the patch's top-left pixel in the slide at the working level.
        row: row of that pixel.
    """

    group: str
    slide: str
    stem: str
    image: Path
    mask: Path
    split: str
    column: int
    row: int


@dataclass(frozen=True, slots=True)
class Slide:
    """A whole slide; the attributes are those of :class:`Patch`."""

    group: str
    name: str
    image: Path
    mask: Path
    split: str


def group_of(folder: str) -> str:
    """The group of a folder, spelled as in :data:`GROUPS`.

    >>> group_of("56NX"), group_of("Normal"), group_of("cortex")
    ('56Nx', 'normal', 'cortex')
    """
    return next((group for group in GROUPS if group.casefold() == folder.casefold()), folder)


def slide_key(group: str, slide: str) -> str:
    """Name of a slide that does not depend on the separator in its files.

    >>> slide_key("56Nx", "12-116") == slide_key("56Nx", "12_116")
    True
    """
    return f"{group}/{slide.replace('-', '_')}"


def split_of(path: Path, root: Path) -> str:
    """The split named by the nearest folder above a file; ``test`` where no folder names one.

    >>> split_of(Path("d/KPIs24 Training Data/Task1_patch_level/data/DN"), Path("d"))
    'train'
    """
    names = [*reversed(path.relative_to(root).parts), root.name]
    for name in names:
        match = _SPLIT.match(name)
        if match:
            return {"train": "train", "val": "validation", "test": "test"}[match[1].lower()]
    return UNNAMED_SPLIT


class KPIsRelease(Release):
    """Files of KPIs 2024 that both tasks share."""

    splits = SPLITS
    shared_data = "kpis"
    data_hint = (
        "Unpack the archives of Synapse syn54077668 or syn63688309 into one folder, with their names "
        "(KPIs24 Training Data, KPIs24 Validation Data, KPIs24 Testing Data)."
    )
    sample_writer = "medbench.challenges.kpis.sample:draw_sample"
    sample_version = "1"
    sample_options: ClassVar[Mapping[str, str]] = {
        "slides": "test slides to draw, without patches",
        "size": "side of each slide in pixels at the scan level",
    }

    def nothing_of(self, root: Path, split: str, items: Sequence[Patch | Slide]) -> MedbenchError:
        """The error for a folder without cases of a split.

        Args:
            root: the folder.
            split: the split.
            items: patches or slides of other splits that the folder holds.
        """
        if not items:
            return self.layout_error(
                root, ("Task1_patch_level/…/img/*_img.jpg", "Task2_WSI_level/…/*_wsi.tiff")
            )
        there = sorted({item.split for item in items})
        return MedbenchError(
            "data.split_missing",
            f"{root}: holds nothing of split '{split}', only of {', '.join(there)}.",
            self.data_hint,
        )


def find_patches(root: Path) -> list[Patch]:
    """All patches below a folder, sorted by group, slide and position."""
    patches = []
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
                column, row = int(match["x"]), int(match["y"])
                patches.append(Patch(group, slide, match["stem"], folder / name, mask, split, column, row))
    return sorted(patches, key=lambda patch: (patch.group, patch.slide, patch.row, patch.column, patch.stem))


def find_slides(root: Path) -> list[Slide]:
    """All slides below a folder, sorted by group and name."""
    slides = []
    for folder, files in _walk(root):
        for name in files:
            match = _SLIDE.match(name)
            if match:
                in_docker = folder.name.lower() == "img"
                group = group_of((folder.parent if in_docker else folder).name)
                masks = folder.parent / _sibling(folder, "mask") if in_docker else folder
                there = os.listdir(masks) if masks.is_dir() else []
                start = f"{match['name']}_mask.tif"
                mask = next(
                    (other for other in there if other.lower().startswith(start.lower())), f"{start}f"
                )
                split = split_of(folder, root)
                slides.append(Slide(group, match["name"], folder / name, masks / mask, split))
    return sorted(slides, key=lambda slide: (slide.group, slide.name))


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the names in them; a folder in the place of a file is a case too, which fails."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_metadata(name)]
        yield Path(folder), sorted(name for name in (*folders, *files) if not is_metadata(name))


def _sibling(folder: Path, name: str) -> str:
    """Name of a subfolder, ignoring upper and lower case."""
    beside = os.listdir(folder.parent)
    return next((other for other in beside if other.lower() == name), name)


def _mask_name(image: str, there: set[str]) -> str:
    stem, suffix = os.path.splitext(image)
    stem = stem[: -len("_img")]
    candidates = [f"{stem}_mask{suffix}", f"{stem}_mask.png", image]
    return next((name for name in candidates if name in there), candidates[0])


def counts(items: Sequence[Patch | Slide], singular: str, plural: str) -> Iterator[Finding]:
    """Notes with the numbers of patches or slides, called so, by split and group."""
    for split in SPLITS:
        groups = [item.group for item in items if item.split == split]
        if groups:
            each = ", ".join(f"{group} {groups.count(group)}" for group in sorted(set(groups)))
            yield Finding(
                "note", f"{split}: {len(groups)} {agreeing(len(groups), singular, plural)} ({each})."
            )


def leaks(slides: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """Errors for slides, given as ``(group, slide, split)``, in more than one split."""
    owners: dict[str, set[str]] = {}
    for group, slide, split in slides:
        owners.setdefault(slide_key(group, slide), set()).add(split)
    for slide, splits in owners.items():
        if len(splits) > 1:
            yield Finding(
                "error",
                f"slide {slide} is in {' and '.join(sorted(splits))}.",
                "Scores on it would be of training data: remove it from one split.",
            )
