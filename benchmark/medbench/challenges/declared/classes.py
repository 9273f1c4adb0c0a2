"""Declared images with one class each, in folders of classes or in a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.items import Item, find_items
from medbench.challenges.declared.release import FACT, DeclaredRelease
from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.families.image_classes.scoring import Figure, class_columns, figure_column
from medbench.challenges.stray import Finding
from medbench.core.case import Case

_FIGURES = {
    "balanced_accuracy": ("balanced accuracy", "sensitivity"),
    "auc.macro": ("AUC (mean over classes)", "auc"),
    "accuracy.multiclass": ("accuracy", "accuracy"),
    "average_precision.macro": ("AP (mean over classes)", "average_precision"),
}
MOST_CLASS_COLUMNS = 20


class DeclaredClassRelease(DeclaredRelease, ImageClassRelease):
    """Files of declared images with one class each."""

    colours = False

    def case(self, name: str, item: Item) -> Case:
        """The case of an image; one whose class has no name has no score."""
        image = next(iter(item.inputs.values()))
        facts = {"class": self._index(item), FACT: self.declaration.sha256[:16]}
        if facts["class"] is None:
            facts["fault"] = self._fault(item)
        return Case(name, item.inputs, {"class": image}, item.group or item.id, facts)

    def _index(self, item: Item) -> int | None:
        names = self.card.image_classes
        return names.index(item.class_name) if item.class_name in names else None

    def _fault(self, item: Item) -> str:
        content = f"the class '{item.class_name}', which no name has" if item.class_name else "no class"
        return f"{next(iter(item.inputs.values()))}: has {content} ({', '.join(self.card.image_classes)})."

    def images(self, root: Path) -> list[ClassedImage]:
        """Every image of the folder."""
        return [self._image(item) for item in find_items(self.declaration, root).cases]

    def _image(self, item: Item) -> ClassedImage:
        path, index = next(iter(item.inputs.values())), self._index(item)
        fault = "" if index is not None else self._fault(item)
        return ClassedImage(item.id, path, path, index, item.group, item.split, fault)

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """The images that the layout puts into a split."""
        return [image for image in images if image.part == split]

    def content_findings(self, items: Sequence[Item]) -> Iterator[Finding]:
        """Every image, and classes that no name has."""
        for item in items:
            image = self._image(item)
            if image.fault:
                yield Finding("error", image.fault, "Name the class under labels, or correct it.")
            yield from self._guarded_image(image)


def figures_of(declaration: Declaration) -> tuple[Figure, ...]:
    """Columns over all images by the declared metrics, and by class.

    Raises:
        MedbenchError: ``declaration.entry`` for a metric that is none of classified images.
    """
    entries = declaration.metrics or tuple(_FIGURES)
    for entry in entries:
        if entry not in _FIGURES:
            hint = f"Of classified images: {', '.join(_FIGURES)}."
            raise declaration.error("metrics", f"names '{entry}'", hint)
    columns = tuple(
        figure_column(entry.partition(".")[0], title, entry, value, headline=index < 2)
        for index, entry in enumerate(entries)
        for title, value in [_FIGURES[entry]]
    )
    if len(declaration.labels) > MOST_CLASS_COLUMNS:
        return columns
    return (*columns, *class_columns(tuple(declaration.labels), "auc", "sensitivity", "specificity"))


def class_names(declaration: Declaration) -> tuple[str, ...]:
    """Names of the classes in the order of their numbers.

    Raises:
        MedbenchError: ``declaration.entry`` where none are named.
    """
    if not declaration.labels:
        raise declaration.error("labels", "names no class", 'For example ["benign", "malignant"].')
    return tuple(declaration.labels)
