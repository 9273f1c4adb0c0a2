"""A challenge's training split as nnU-Net's raw data set, and folds that keep groups whole.

Layout: documentation/dataset_format.md of MIC-DKFZ/nnUNet 2.8.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, read_json, write_json
from medbench.core.progress import Progress
from medbench.core.sample import TrainingImage, TrainingVolume
from medbench.nnunet.labels import IMAGE_SIZE, RGB_CHANNELS, class_names
from medbench.nnunet.recipe import FOLDS

CASES = "cases.json"


def write_raw(
    challenge: Challenge, root: Path, split: str, size: int, folder: Path, cache: Path, progress: Progress
) -> list[str]:
    """Write ``imagesTr``, ``labelsTr`` and, at the end, ``dataset.json``; a complete data set is kept.

    Cases are called ``case_00000`` and so on; ``cases.json`` gives their ids and groups.

    Args:
        challenge: of the training data.
        root: folder of the challenge's data.
        split: the training split.
        size: side in pixels that images are resized to.
        folder: of the raw data set.
        cache: folder for decoded images.
        progress: advanced by one for every case.

    Returns:
        The group of every case, in order.

    Raises:
        MedbenchError: ``training.no_labels``, or naming the file that cannot be read.
    """
    if (folder / "dataset.json").exists():
        return [case["group"] for case in read_json(folder / CASES)]
    examples: list[TrainingImage | TrainingVolume] = []
    if challenge.card.modalities:
        examples += challenge.exchange.inputs["volume"].examples(root, split, cache)
    else:
        images = challenge.exchange.inputs["image"].examples(root, split, cache)
        examples += [image for image in images if image.labelled]
    if not examples:
        raise MedbenchError(
            "training.no_labels",
            f"{root}: the split {split} has no labelled case.",
            "Check the data: medbench data check.",
        )
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ending = ""
    progress.start("converting for nnU-Net", len(examples))
    for index, item in enumerate(examples):
        name = f"case_{index:05d}"
        if isinstance(item, TrainingVolume):
            ending = _write_volume(folder, name, item)
        else:
            ending = _write_image(folder, name, item, size, ending)
        progress.advance(1, item.id)
    progress.finish()
    write_json(folder / CASES, [{"id": item.id, "group": item.group} for item in examples])
    channels = tuple(challenge.card.modalities) or RGB_CHANNELS
    description: dict[str, Any] = {
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": {name: index for index, name in enumerate(class_names(challenge))},
        "numTraining": len(examples),
        "file_ending": ending,
        "overwrite_image_reader_writer": "SimpleITKIO" if challenge.card.modalities else "NaturalImage2DIO",
        **({} if challenge.card.modalities else {IMAGE_SIZE: size}),
        "name": challenge.title,
        "licence": challenge.card.license,
        "reference": challenge.card.homepage,
    }
    write_json(folder / "dataset.json", description)
    return [item.group for item in examples]


def _write_image(folder: Path, name: str, example: TrainingImage, size: int, ending: str) -> str:
    """Write image and labels; their suffix: ``.png`` for 8 bit, else ``.tif``, or ``ending`` if given."""
    from medbench.io.raster import write_label_map

    image, labels = example.load(size)
    assert labels is not None
    ending = ending or (".png" if image.dtype == np.uint8 else ".tif")
    _encode(folder / "imagesTr" / f"{name}_0000{ending}", image)
    write_label_map(folder / "labelsTr" / f"{name}{ending}", labels)
    return ending


def _encode(path: Path, image: npt.NDArray[Any]) -> None:
    import tifffile

    from medbench.io.raster import write_image

    if path.suffix == ".png":
        write_image(path, image)
        return
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, image.astype(np.float32), photometric="rgb")


def _write_volume(folder: Path, name: str, item: TrainingVolume) -> str:
    from medbench.io.nifti_mha import write_volume

    sample, labels = item.load()
    spacing = sample.spacing_mm or (1.0, 1.0, 1.0)
    present = item.visible or (True,) * len(sample.volumes)
    for channel, array in enumerate(sample.volumes):
        path = folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz"
        write_volume(path, Volume(array if present[channel] else np.zeros_like(array), spacing))
    write_volume(folder / "labelsTr" / f"{name}.nii.gz", Volume(labels, spacing))
    return ".nii.gz"


def split_folds(groups: Sequence[str]) -> list[dict[str, list[str]]]:
    """nnU-Net's ``splits_final.json``: five folds, or one a group where there are fewer groups.

    Groups go, by the SHA-256 of their name, to the fold that has the fewest cases so far.

    Args:
        groups: group of every case, in the order of :func:`write_raw`.

    Returns:
        Names of training and validation cases of each fold; empty where there is only one group.

    >>> [fold["val"] for fold in split_folds(["b", "a", "b"])]
    [['case_00000', 'case_00002'], ['case_00001']]
    """
    distinct = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    if len(distinct) < 2:
        return []
    folds: list[list[int]] = [[] for _ in range(min(FOLDS, len(distinct)))]
    for group in distinct:
        smallest = min(folds, key=len)
        smallest += [index for index, owner in enumerate(groups) if owner == group]
    return [
        {
            "train": [f"case_{i:05d}" for i in range(len(groups)) if i not in held_out],
            "val": [f"case_{i:05d}" for i in sorted(held_out)],
        }
        for held_out in map(set, folds)
    ]
