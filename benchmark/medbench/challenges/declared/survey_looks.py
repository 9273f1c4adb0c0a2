"""A look at the files of a survey: channels and bits of images, values of masks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medbench.challenges.declared.survey_coco import Survey
from medbench.challenges.mask_sizes import refuse_other_sizes
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.label_values import label_values
from medbench.core.text import counted, named
from medbench.io import images, raster

MOST_READ, LARGEST_LABEL = 200, 255


def add_looks(result: Survey, pictures: Iterable[Path], masks: Iterable[Path]) -> None:
    """Channels, bits and label values of images and masks, into entries and sentences."""
    first_pictures, first_masks = list(pictures)[:MOST_READ], list(masks)[:MOST_READ]
    if images.suffix_of(first_pictures[0]) in images.VOLUME_SUFFIXES:
        result.entries |= {"modalities": ["image"], "spacing": "file"}
    else:
        _add_channels(result, first_pictures)
    _add_sizes(result, list(zip(first_pictures, first_masks, strict=True)))
    values, failures = Counter[int](), list[Failure]()
    for path in first_masks:
        labels = guarded(path.name, lambda path=path: images.read_labels(path))  # type: ignore[misc]
        if isinstance(labels, Failure):
            failures.append(labels)
        else:
            values.update({int(value): 1 for value in label_values(labels.array)})
    _add_failures(result, failures, len(first_masks), "mask")
    structures = sorted(value for value in values if value)
    if structures and max(structures) > LARGEST_LABEL:
        texts = named(structures)
        raise MedbenchError(
            "data.not_a_label_map",
            f"{first_masks[0].parent}: masks hold the values {texts}; label values are 0 to {LARGEST_LABEL}.",
            "Number the structures from 1 on. Numbers of single objects (instances) are no labels.",
        )
    if len(structures) > 1 and max(structures) == 255 and len(structures) > 8:
        result.entries |= {"labels": {"structure": 255}, "threshold": 127}
        result.lines.append(f"Masks hold {len(structures) + 1} grey values: borders are cut at 127.")
        return
    names = {("structure" if len(structures) == 1 else f"label_{value}"): value for value in structures}
    result.entries["labels"] = names
    if not names:
        result.faults.append("No mask marks anything.")
    result.lines.append(f"Masks hold the values {', '.join(map(str, sorted(values)))}.")


def _add_failures(result: Survey, failures: Sequence[Failure], count: int, what: str) -> None:
    """Files that cannot be read, among the faults.

    Raises:
        MedbenchError: where none of the files can be read.
    """
    if failures:
        first = failures[0]
        text = f"{len(failures)} of {counted(count, what)} cannot be read, the first: {first.reason}"
        if len(failures) == count:
            raise MedbenchError(first.code, text, first.hint)
        result.faults.append(f"{text} {first.hint}".rstrip())


def _add_sizes(result: Survey, pairs: Sequence[tuple[Path, Path]]) -> None:
    """Masks of another size than their image, among the faults; what cannot be read is told elsewhere."""
    sizes = guarded("", lambda: refuse_other_sizes(pairs))
    if isinstance(sizes, Failure) and sizes.code == "data.size_mismatch":
        result.faults.append(f"{sizes.reason} {sizes.hint}")


def _add_channels(result: Survey, pictures: Sequence[Path]) -> None:
    channels: dict[int, list[str]] = {}
    failures: list[Failure] = []
    deep: list[tuple[float, float]] = []
    whole = True
    for path in pictures:
        image = guarded(path.name, lambda path=path: raster.read_image(path))  # type: ignore[misc]
        if isinstance(image, Failure):
            failures.append(image)
            continue
        channels.setdefault(1 if image.ndim == 2 else image.shape[2], []).append(path.name)
        if image.dtype != np.uint8:
            deep.append((float(image.min()), float(image.max())))
            whole = whole and image.dtype.kind in "iu"
    _add_failures(result, failures, len(pictures), "image")
    if len(channels) > 1:
        fewer = min(channels.values(), key=len)
        parts = " and ".join(f"{len(files)} with {count}" for count, files in sorted(channels.items()))
        result.faults.append(f"Images have mixed numbers of channels: {parts}, the fewer are {named(fewer)}.")
    elif channels:
        result.entries["channels"] = next(iter(channels))
        result.lines.append(f"Images have {counted(next(iter(channels)), 'channel')}.")
    if deep:
        low, high = min(low for low, _ in deep), max(high for _, high in deep)
        fits = low >= 0 and (whole or high <= 1)
        values = [0, 65535 if whole else 1] if fits else [math.floor(low), math.ceil(high)]
        result.entries["values"] = values
        result.lines.append(
            f"Images have more than 8 bits and hold values from {low:g} to {high:g}. values = {values} in "
            "the declaration are black and white; correct them where the camera fills less."
        )
    result.entries["spacing"] = "pixel"
