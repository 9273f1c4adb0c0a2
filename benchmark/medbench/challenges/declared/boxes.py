"""Declared images with boxes, in COCO JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medbench.challenges.declared.coco import coco_tables, read_coco
from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.items import Item, find_items
from medbench.challenges.declared.release import FACT, DeclaredRelease
from medbench.challenges.declared.templates import files_below, matches
from medbench.challenges.families.image_boxes.exchange import ImageBoxExchange
from medbench.challenges.families.image_boxes.files import BoxedImage, ImageBoxRelease
from medbench.challenges.families.image_boxes.scoring import COLUMNS, BoxColumn, class_box_columns
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.guard import Failure, guarded
from medbench.core.text import agreeing, counted_are, named
from medbench.io import raster

KEYS = "coco_image"
"""Entry of a case's facts: by what files of detections may call the image."""
MOST_CLASS_COLUMNS = 20


class DeclaredBoxRelease(DeclaredRelease, ImageBoxRelease):
    """Files of declared images with boxes."""

    colours = False

    def case(self, name: str, item: Item) -> Case:
        """The case of an image; one whose boxes cannot be used has no score."""
        facts = dict(self.case_of(self._image(item)).facts)
        facts |= {KEYS: list(_keys(item)), FACT: self.declaration.sha256[:16]}
        return Case(name, item.inputs, {"boxes": self._image(item).reference}, item.group or item.id, facts)

    def images(self, root: Path) -> list[BoxedImage]:
        """Every image of the JSON files."""
        return [self._image(item) for item in find_items(self.declaration, root).cases]

    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """The images of the JSON file of a split."""
        return [image for image in images if image.part == split]

    def image_names(self, case: Case) -> frozenset[str | int]:
        """By what files of detections may call images: names and ids of all images of the data set."""
        root = case.reference["boxes"].parents[self.declaration.table.count("/")]
        return frozenset(key for item in find_items(self.declaration, root).cases for key in _keys(item))

    def _image(self, item: Item) -> BoxedImage:
        assert item.objects is not None
        assert item.mask is not None
        image, boxes = next(iter(item.inputs.values())), item.objects.boxes
        fault = item.objects.fault
        own = None if fault else boxes
        return BoxedImage(item.id, image, item.mask, own, item.group, item.split, fault)

    def check_files(self, root: Path) -> list[Finding]:
        """Also annotations without an image, and images that no JSON names."""
        return [*super().check_files(root), *self._strays(root)]

    def _strays(self, root: Path) -> Iterator[Finding]:
        for _, path in coco_tables(self.declaration, root):
            stray = read_coco(path, self.declaration).stray
            if stray:
                name = agreeing(len(stray), "annotation names", "annotations name")
                text = f"{path}: {len(stray)} {name} an image that is not there: {named(stray)}."
                yield Finding("error", text, "Add the images to the file, or remove the annotations.")
        case_images = {
            path for item in find_items(self.declaration, root).cases for path in item.inputs.values()
        }
        below = matches(root, self.declaration.images, files_below(root))
        alone = [
            one.path.name
            for one in below
            if one.path not in case_images and one.path.suffix.lower() in raster.SUFFIXES
        ]
        if alone:
            text = f"{counted_are(len(alone), 'image')} in no JSON file: {named(alone)}."
            yield Finding("warning", text, "An image without objects belongs into images too.")

    def content_findings(self, items: Sequence[Item]) -> Iterator[Finding]:
        """Every image with its boxes."""
        for item in items:
            image = self._image(item)
            if image.fault:
                yield Finding("error", image.fault, "Correct it; the image has no score and teaches nothing.")
            elif image.image.exists():
                yield from self._guarded_image(image)
                yield from self._size_finding(item)

    def _size_finding(self, item: Item) -> Iterator[Finding]:
        path = next(iter(item.inputs.values()))
        size = item.objects.size if item.objects else None
        pixels = guarded(item.id, lambda: self.read_image(path))
        if size is None or isinstance(pixels, Failure):
            return
        height, width = pixels.shape[:2]
        if (width, height) != size:
            text = f"{path}: is {width} by {height} where {item.mask} says {size[0]} by {size[1]}."
            yield Finding("error", text, "Boxes are in pixels of the image that they were drawn on.")


def _keys(item: Item) -> tuple[str | int, ...]:
    """The id of an image in COCO JSON, where it is a number, and its name."""
    number = item.objects.number if item.objects else None
    return (item.id,) if number is None else (number, item.id)


class DeclaredBoxExchange(ImageBoxExchange):
    """Images in; detections out, by the ids of images and categories that the data set's JSON has."""

    release: DeclaredBoxRelease

    @property
    def categories(self) -> Mapping[int, str]:
        """The data set's own ids of categories."""
        return {id: name for name, id in self.release.declaration.labels.items()}

    def image_keys(self, case: Case) -> tuple[str | int, ...]:
        """The id of the image, where it is a number, and its name."""
        return tuple(case.facts.get(KEYS, (case.id,)))


def box_columns(declaration: Declaration) -> tuple[BoxColumn, ...]:
    """Columns over all images by the declared metrics, and by class.

    Raises:
        MedbenchError: ``declaration.entry`` for a metric that is none of boxes.
    """
    by_metric = {column.spec.convention: column for column in COLUMNS}
    for entry in declaration.metrics:
        if entry not in by_metric:
            raise declaration.error("metrics", f"names '{entry}'", f"Of boxes: {', '.join(by_metric)}.")
    columns = tuple(by_metric[name] for name in declaration.metrics or by_metric)
    classes = tuple(declaration.labels)
    return columns if not 1 < len(classes) <= MOST_CLASS_COLUMNS else (*columns, *class_box_columns(classes))
