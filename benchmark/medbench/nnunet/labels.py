"""Matching labels and channels of an nnU-Net data set with those of a challenge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.text import plain_name

RGB_CHANNELS = ("R", "G", "B")
IMAGE_SIZE = "medbench_picture_size"


_GREY = frozenset(
    (
        *("l", "i", "us", "bw", "bmode", "xr", "xray", "radiograph"),
        *("image", "img", "frame", "data", "input", "channel", "0", "channel0"),
        *("nonorm", "zscore", "rescaleto01", "rgbto01"),
    )
)
"""Names by which nnU-Net's data sets call the one channel of a grey image, or how it is normalised."""
_GREY_PARTS = ("gray", "grey", "ultraso", "sonogra", "luminance", "luma", "intensity", "monochrom")
"""Parts of other such names."""


def _is_grey(name: str) -> bool:
    plain = plain_name(name)
    return plain in _GREY or any(part in plain for part in _GREY_PARTS)


def class_names(challenge: Challenge) -> list[str]:
    """Names of the classes in the challenge's order; the first is called background, as nnU-Net demands."""
    return ["background", *list(challenge.labels.values())[1:]]


def class_table(dataset: Mapping[str, Any], challenge: Challenge, source: str) -> npt.NDArray[np.uint8]:
    """The challenge's class index of every value that nnU-Net writes.

    Labels match by name, ignoring case and punctuation, so their order may differ. A model of overlapping
    regions writes the values of its ``regions_class_order``, which are then the challenge's own values.

    Args:
        dataset: ``dataset.json``.
        challenge: the challenge.
        source: name of the weights in errors.

    Raises:
        MedbenchError: ``nnunet.regions`` or ``nnunet.labels``.
    """
    labels = {name: value for name, value in dataset["labels"].items() if name != "ignore"}
    if has_regions(dataset):
        return _table_of_regions(dataset, challenge, source)
    try:
        values = {plain_name(name): int(np.ravel(value)[0]) for name, value in labels.items()}
    except ValueError as error:
        raise MedbenchError(
            "nnunet.labels",
            f"{source}: its dataset.json gives labels the values {', '.join(map(str, labels.values()))}.",
            'nnU-Net v2 writes names first: "labels": {"background": 0, ...}; turn them round.',
        ) from error
    class_order = [plain_name(name) for name in class_names(challenge)]
    if set(values) != set(class_order) or sorted(values.values()) != list(range(len(class_order))):
        raise MedbenchError(
            "nnunet.labels",
            f"{source}: was trained on the labels {', '.join(labels)}; {challenge.title} has "
            f"{', '.join(class_names(challenge))}.",
            "Use a model of this challenge; where only the names differ, rename them in its dataset.json.",
        )
    table = np.zeros(len(class_order), np.uint8)
    for index, name in enumerate(class_order):
        table[values[name]] = index
    return table


def has_regions(dataset: Mapping[str, Any]) -> bool:
    """Whether a model learnt overlapping regions instead of labels."""
    return any(isinstance(value, list | tuple) and len(value) > 1 for value in dataset["labels"].values())


def _table_of_regions(dataset: Mapping[str, Any], challenge: Challenge, source: str) -> npt.NDArray[np.uint8]:
    """The class index of every value that a model of regions writes.

    Where its regions are the challenge's by name, a value means the label that lies in the same regions:
    nnU-Net's own conversions of BraTS exchange the values of necrosis and oedema. Otherwise the values are
    the challenge's own; BraTS had 4 for enhancing tumour until 2022, where nnU-Net's data sets have 3.
    """
    order = dataset.get("regions_class_order")
    values = list(order) if isinstance(order, list) and all(isinstance(v, int) for v in order) else []
    own = [value for value in challenge.labels if value != 0]
    consecutive = list(range(1, len(own) + 1))
    if sorted(values) not in (own, consecutive) or len(set(values)) != len(values):
        raise _other_regions(dataset, challenge, source)
    table = np.zeros(max(values) + 1, np.uint8)
    for index, value in enumerate(sorted(values), start=1):
        table[value] = index
    labels = _labels_by_region(dataset, challenge)
    if labels is None:
        return table
    if len(labels) != len(values) or sorted(labels) != own:
        raise _other_regions(dataset, challenge, source)
    for value, label in zip(values, labels, strict=True):
        table[value] = 1 + own.index(label)
    return table


def _labels_by_region(dataset: Mapping[str, Any], challenge: Challenge) -> list[int] | None:
    """The challenge's label that each region writes, −1 where there is not one; ``None`` for other regions.

    A region writes the label that lies in it and in all regions around it, and in none of the others.
    """
    by_name = {plain_name(name): frozenset(labels) for name, labels in challenge.card.regions.items()}
    theirs = {
        name: frozenset(np.ravel(value).tolist())
        for name, value in dataset["labels"].items()
        if name != "ignore" and np.any(value)
    }
    ours = {name: by_name.get(plain_name(name)) for name in theirs}
    if not ours or None in ours.values() or ours == theirs:
        return None
    labels = []
    for values in theirs.values():
        around = [name for name, others in theirs.items() if values <= others]
        own = frozenset.intersection(*(ours[name] or frozenset() for name in around))
        for name in theirs.keys() - set(around):
            own -= ours[name] or frozenset()
        labels.append(next(iter(own)) if len(own) == 1 else -1)
    return labels


def _other_regions(dataset: Mapping[str, Any], challenge: Challenge, source: str) -> MedbenchError:
    order = dataset.get("regions_class_order")
    values = ", ".join(map(str, order)) if isinstance(order, list) and order else "none"
    own = ", ".join(f"{value} {name}" for value, name in challenge.labels.items() if value != 0)
    return MedbenchError(
        "nnunet.regions",
        f"{source}: learnt overlapping regions ({', '.join(dataset['labels'])}) and writes the values "
        f"{values}; {challenge.title} has {own}.",
        "Use a model whose regions_class_order has the challenge's values.",
    )


def channel_order(dataset: Mapping[str, Any], challenge: Challenge, source: str) -> list[int]:
    """Index of the challenge's channel for each channel of the network.

    Modalities match by any of their names; colours only by their number. A network of one channel is fed the
    first of the three equal channels of a grey image.

    Raises:
        MedbenchError: ``nnunet.channels``.
    """
    channels = dataset.get("channel_names") or dataset.get("modality")
    if not isinstance(channels, Mapping) or not all(str(key).isdecimal() for key in channels):
        raise MedbenchError(
            "nnunet.channels",
            f"{source}: its dataset.json has no channel_names by number.",
            'Add them, for example "channel_names": {"0": "grayscale"}.',
        )
    names = [channels[key] for key in sorted(channels, key=int)]
    if not challenge.card.modalities:
        if len(names) == len(RGB_CHANNELS) or (len(names) == 1 and _is_grey(names[0])):
            return list(range(len(names)))
        own = list(RGB_CHANNELS)
    else:
        own = list(challenge.card.modalities)
        aliases = {
            plain_name(alias): index
            for index, (key, others) in enumerate(challenge.card.modalities.items())
            for alias in (key, *others)
        }
        order = [aliases.get(plain_name(name), -1) for name in names]
        if sorted(order) == list(range(len(own))):
            return order
    raise MedbenchError(
        "nnunet.channels",
        f"{source}: was trained on the channels {', '.join(names)}; {challenge.title} has {', '.join(own)}.",
        "Use a model of these channels; where only the names differ, rename them in its dataset.json.",
    )
