"""A challenge's training split as nnU-Net's raw data set, and folds that never part a group.

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
from medbench.nnunet.labels import PICTURE_CHANNELS, PICTURE_SIZE, class_names
from medbench.nnunet.recipe import FOLDS

CASES = "cases.json"


def write_raw(
    challenge: Challenge, root: Path, split: str, size: int, folder: Path, cache: Path, progress: Progress
) -> list[str]:
    """Write ``imagesTr``, ``labelsTr`` and, last of all, ``dataset.json``; done once.

    Cases are called ``case_00000`` and so on; ``cases.json`` tells whose they are.

    Args:
        challenge: whose training split.
        root: its data.
        split: the split.
        size: side in pixels that pictures are resized to.
        folder: the data set's folder.
        cache: for decoded pictures.
        progress: told of every case.

    Returns:
        The group of every case, in order.

    Raises:
        MedbenchError: ``training.no_labels``, or as the challenge's own reading.
    """
    if (folder / "dataset.json").exists():
        return [case["group"] for case in read_json(folder / CASES)]
    learnt: list[TrainingImage | TrainingVolume] = []
    if challenge.card.modalities:
        learnt += challenge.exchange.inputs["volume"].examples(root, split, cache)
    else:
        images = challenge.exchange.inputs["image"].examples(root, split, cache)
        learnt += [image for image in images if image.labelled]
    if not learnt:
        raise MedbenchError(
            "training.no_labels",
            f"{root}: the split {split} has no labelled case.",
            "Check the data: medbench data check.",
        )
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ending = ""
    progress.start("converting for nnU-Net", len(learnt))
    for index, item in enumerate(learnt):
        name = f"case_{index:05d}"
        if isinstance(item, TrainingVolume):
            ending = _write_volume(folder, name, item)
        else:
            ending = _write_picture(folder, name, item, size, ending)
        progress.advance(1, item.id)
    progress.finish()
    write_json(folder / CASES, [{"id": item.id, "group": item.group} for item in learnt])
    channels = tuple(challenge.card.modalities) or PICTURE_CHANNELS
    description: dict[str, Any] = {
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": {name: index for index, name in enumerate(class_names(challenge))},
        "numTraining": len(learnt),
        "file_ending": ending,
        "overwrite_image_reader_writer": "SimpleITKIO" if challenge.card.modalities else "NaturalImage2DIO",
        **({} if challenge.card.modalities else {PICTURE_SIZE: size}),
        "name": challenge.title,
        "licence": challenge.card.license,
        "reference": challenge.card.homepage,
    }
    write_json(folder / "dataset.json", description)
    return [item.group for item in learnt]


def _write_picture(folder: Path, name: str, image: TrainingImage, size: int, ending: str) -> str:
    """8-bit pictures as PNG, others as TIFF; all of a data set as its first."""
    from medbench.io.raster import write_label_map

    picture, labels = image.load(size)
    assert labels is not None
    ending = ending or (".png" if picture.dtype == np.uint8 else ".tif")
    _encode(folder / "imagesTr" / f"{name}_0000{ending}", picture)
    write_label_map(folder / "labelsTr" / f"{name}{ending}", labels)
    return ending


def _encode(path: Path, picture: npt.NDArray[Any]) -> None:
    import tifffile

    from medbench.io.raster import write_picture

    if path.suffix == ".png":
        write_picture(path, picture)
        return
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, picture.astype(np.float32), photometric="rgb")


def _write_volume(folder: Path, name: str, item: TrainingVolume) -> str:
    from medbench.io.nifti_mha import write_volume

    sample, labels = item.load()
    spacing = sample.spacing_mm or (1.0, 1.0, 1.0)
    shown = item.seen or (True,) * len(sample.volumes)
    for channel, array in enumerate(sample.volumes):
        path = folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz"
        write_volume(path, Volume(array if shown[channel] else np.zeros_like(array), spacing))
    write_volume(folder / "labelsTr" / f"{name}.nii.gz", Volume(labels, spacing))
    return ".nii.gz"


def split_folds(groups: Sequence[str]) -> list[dict[str, list[str]]]:
    """nnU-Net's ``splits_final.json``: five folds, or one a group where there are fewer groups.

    Groups go, by the SHA-256 of their name, to the fold that has the fewest cases so far.

    Args:
        groups: of every case, in the order of :func:`write_raw`.

    Returns:
        Names of training and validation cases by fold; empty where there is only one group.

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
