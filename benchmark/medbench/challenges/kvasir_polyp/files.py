"""Files of Kvasir-SEG as images with boxes: ``kavsir_bboxes.json`` (spelt so), images, masks, and the splits.

The release has no split of its own; ``train``, ``val`` and ``test`` are ours, by a hash of the image, and no
patients or videos are named, so that images of one patient may lie in several. Corners are taken as the file
gives them; whether ``xmax`` and ``ymax`` are a box's last pixel or one past it is not said, and the check
compares them with the masks' components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_boxes.components import component_boxes
from medbench.challenges.families.image_boxes.files import Box, BoxedImage, ImageBoxRelease
from medbench.challenges.release import SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.core.text import agreeing, named
from medbench.io import raster
from medbench.io.gate.listing import check_alone, visible_paths
from medbench.io.json_values import read_json_value

IMAGES = 1000
FOLDER = "Kvasir-SEG"
TABLE = "kavsir_bboxes.json"
LABEL = "polyp"
SHARES = (("test", 0.20), ("val", 0.30), ("train", 1.0))
MASK_LEAST = 128
"""Grey values of the JPEG masks from this on are polyp."""
LEAST_PIXELS = 16
"""Smaller components come from JPEG compression."""
_RULE = (
    "by image (medbench's: the release has no split and names no patients): the first 32 bits of the SHA-256 "
    "of '42/<image>' as a share of their range, below 0.20 test, below 0.30 val, else train"
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def hashed_split(name: str) -> str:
    """Which of ``train``, ``val`` and ``test`` an image belongs to."""
    return hashed_part(f"42/{name}", SHARES)


class KvasirPolypRelease(ImageBoxRelease):
    """Files of Kvasir-SEG."""

    data_hint = (
        f"Expected {FOLDER}/images/, {FOLDER}/masks/ and {FOLDER}/{TABLE} (kvasir-seg.zip and {TABLE}) from "
        "datasets.simula.no/kvasir-seg."
    )
    sample_writer = "medbench.challenges.kvasir_polyp.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule."""
        return SplitFacts(_RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """Images of the set: how many fall into a split is not fixed."""
        return len(self.images(root)), IMAGES

    def images(self, root: Path) -> list[BoxedImage]:
        """Every image of the folder, with the boxes of its entry in the table."""
        home, table = _home(root)
        if not (home / "images").is_dir():
            raise self.layout_error(root, (f"{FOLDER}/images/", "images/"))
        entries = read_boxes(table)
        images = []
        for path in visible_paths(home / "images", "*.jpg"):
            boxes, fault = entries.get(path.stem, (None, f"{table}: has no entry of {path.stem}."))
            images.append(BoxedImage(path.stem, path, table, boxes, fault=fault))
        return images

    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """Images of the split."""
        return [image for image in images if hashed_split(image.id) == split]

    def notes(self, root: Path, images: Sequence[BoxedImage]) -> Sequence[Finding]:
        """How boxes and masks go together, entries without an image, and that no patients are named."""
        home, table = _home(root)
        without_image = sorted(set(read_boxes(table)) - {image.id for image in images})
        findings = [
            Finding("note", "The release names no patients: images of one may lie in several splits."),
        ]
        if without_image:
            entries = agreeing(len(without_image), "entry has", "entries have")
            message = f"{table}: {len(without_image)} {entries} no image ({named(without_image)})."
            findings.append(Finding("warning", message))
        return [*findings, *_compared_with_masks(home / "masks", images)]


def _home(root: Path) -> tuple[Path, Path]:
    """The folder of images and masks, and the table in it or beside it."""
    home = root / FOLDER if (root / FOLDER).is_dir() else root
    places = (home / TABLE, root / TABLE)
    return home, next((place for place in places if place.is_file()), places[0])


def read_boxes(path: Path) -> dict[str, tuple[tuple[Box, ...] | None, str]]:
    """Image -> its boxes, and why there are none that can be used.

    Raises:
        MedbenchError: what the gate refuses, ``data.json``, or ``data.boxes_table`` for what is no object of
            images.
    """
    content = read_json_value(path)
    if not isinstance(content, dict):
        raise MedbenchError(
            "data.boxes_table", f"{path}: is no JSON object of images.", "Use the file as released."
        )
    return {name: _boxes(entry, f"{path}: {name}") for name, entry in content.items()}


def _boxes(entry: Any, where: str) -> tuple[tuple[Box, ...] | None, str]:
    rows = entry.get("bbox") if isinstance(entry, dict) else None
    if not isinstance(rows, list):
        return None, f"{where} has no list 'bbox'."
    boxes = []
    for number, row in enumerate(rows, 1):
        box = row if isinstance(row, dict) else {}
        if box.get("label") != LABEL:
            return None, f"{where}, box {number}: the label is {str(box.get('label'))[:20]}, not {LABEL}."
        values = [box.get(name) for name in _CORNERS]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            return None, f"{where}, box {number}: {', '.join(_CORNERS)} are not whole numbers."
        left, top, right, bottom = (float(value) for value in values if value is not None)
        if right <= left or bottom <= top:
            return None, f"{where}, box {number}: ({left:g}, {top:g}, {right:g}, {bottom:g}) has no area."
        boxes.append((left, top, right, bottom, 0))
    return tuple(boxes), ""


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """A JPEG mask, ``(height, width)``, 0 and 1.

    Raises:
        MedbenchError: when the file is missing or damaged.
    """
    check_alone(path, raster.SUFFIXES)
    grey = raster.read_image(path)
    plane = grey[..., 0] if grey.ndim == 3 else grey
    return (plane >= MASK_LEAST).astype(np.uint8)


def _compared_with_masks(masks: Path, images: Sequence[BoxedImage]) -> list[Finding]:
    if not masks.is_dir():
        return [Finding("note", f"{masks}: there are no masks to compare the boxes with.")]
    counts, findings = Counter[str](), []
    for image in images:
        if image.boxes is None:
            continue
        try:
            corners = component_boxes(read_mask(masks / image.image.name), LEAST_PIXELS)
        except MedbenchError as error:
            findings.append(Finding("error", error.message, error.hint))
            continue
        whole = {tuple(row) for row in corners.tolist()}
        for box in image.boxes:
            left, top, right, bottom = box[:4]
            counts["all"] += 1
            counts["past"] += (left, top, right, bottom) in whole
            counts["last"] += (left, top, right + 1, bottom + 1) in whole
    boxes, are = agreeing(counts["all"], "box", "boxes"), agreeing(counts["past"], "is", "are each")
    message = (
        f"boxes and masks: of {counts['all']} {boxes} {counts['past']} {are} that of a component of the mask "
        f"with xmax and ymax one past its last pixel, {counts['last']} with xmax and ymax its last pixel; "
        "corners are used as the file gives them."
    )
    return [Finding("note", message), *findings]
