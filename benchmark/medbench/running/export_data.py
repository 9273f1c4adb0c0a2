"""Export of a challenge's data in nnU-Net's and MSD's layouts.

Layouts: documentation/dataset_format.md of MIC-DKFZ/nnUNet 2.8.1, and ``dataset.json`` of
medicaldecathlon.com.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.challenges.mask_sizes import check_size
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.core.guard import Failure, guarded
from medbench.core.progress import Progress
from medbench.core.sample import VolumeSample
from medbench.core.writable import refuse_unwritable
from medbench.io import nifti_mha, raster
from medbench.running.data import resolve_data
from medbench.running.request import CaseRequest

Layout = Literal["nnunet", "msd"]
CASES = "cases.json"
RGB = ("R", "G", "B")


@dataclass(slots=True)
class _Written:
    """Cases and files written so far."""

    names: dict[str, dict[str, str]] = field(default_factory=dict)
    training: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    ending: str = ".nii.gz"
    channels: int = 1


def export_data(
    request: CaseRequest, layout: Layout, output: Path, progress: Progress
) -> tuple[int, list[str]]:
    """Write a challenge's labelled cases in another layout; label maps hold class indices.

    ``cases.json`` says which case each file is of, its group and its split.

    Args:
        request: challenge and data.
        layout: ``nnunet`` or ``msd``.
        output: an empty folder, for nnU-Net called ``DatasetXXX_Name``.
        progress: advanced by every case.

    Returns:
        Number of cases written, and why others could not be.

    Raises:
        MedbenchError: ``export.demand`` for challenges without label maps, ``export.msd`` for images in
            MSD's layout, ``export.exists``, ``export.name``, ``output.unwritable``, or as the data's own
            reading.
    """
    challenge = request.load_challenge()
    _check(challenge, layout, output)
    data = resolve_data(challenge, request.data, progress)
    cases = _cases(challenge, data.root)
    content = _Written()
    progress.start(f"writing {layout}", len(cases))
    for split, case in cases:
        job = functools.partial(_write, challenge, case, split, layout, output, content)
        outcome = guarded(case.id, job)
        if isinstance(outcome, Failure):
            content.failures.append(outcome)
        progress.advance(1, case.id)
    progress.finish()
    write_json(output / CASES, content.names)
    write_json(output / "dataset.json", _description(challenge, layout, content))
    return len(content.names), [failure.reason for failure in content.failures]


def _check(challenge: Challenge, layout: Layout, output: Path) -> None:
    if not challenge.labels or not hasattr(challenge.release, "read_reference"):
        raise MedbenchError(
            "export.demand",
            f"{challenge.title} has no label map a case, which {layout} data sets hold.",
            "Export a challenge of segmentation.",
        )
    if layout == "msd" and "volume" not in challenge.exchange.inputs:
        raise MedbenchError(
            "export.msd",
            f"Cases of {challenge.title} are images, and MSD holds volumes.",
            "Export nnunet, which holds images too.",
        )
    if layout == "nnunet" and not re.fullmatch(r"Dataset\d{3}_\w+", output.name):
        raise MedbenchError(
            "export.name",
            f"{output}: nnU-Net takes folders named DatasetXXX_Name.",
            f"-o Dataset501_{challenge.name}",
        )
    refuse_unwritable(output, folder=True)
    if output.exists() and any(output.iterdir()):
        raise MedbenchError("export.exists", f"{output}: holds files already.", "Choose an empty folder.")


def _cases(challenge: Challenge, root: Path) -> list[tuple[str, Case]]:
    """Split and case of the training, validation and test splits; every case once."""
    release = challenge.release
    parts = release.parts(release.default_split)
    names = parts or (
        release.training_split,
        *(("val",) if "val" in release.splits else ()),
        release.default_split,
    )
    cases, images = list[tuple[str, Case]](), set[Path]()
    for split in dict.fromkeys(names):
        own = guarded(split, lambda split=split: challenge.cases(root, split))  # type: ignore[misc]
        for case in [] if isinstance(own, Failure) else own:
            first = next(iter(case.inputs.values()), None)
            if case.reference and first is not None and first not in images:
                images.add(first)
                cases.append((split, case))
    if not cases:
        raise MedbenchError("data.empty", f"{root}: holds no labelled case.", challenge.release.data_hint)
    return cases


def _write(
    challenge: Challenge, case: Case, split: str, layout: Layout, output: Path, content: _Written
) -> None:
    reference = challenge.release.read_reference(case)  # type: ignore[attr-defined]
    is_test = split == challenge.release.default_split and not challenge.release.parts(split)
    end = "Ts" if is_test else "Tr"
    name = re.sub(r"[^A-Za-z0-9]+", "_", case.id).strip("_") or "case"
    while name in content.names:
        name += "_"
    if isinstance(reference, Volume):
        channels = _volume_channels(challenge, case)
        check_size(case.reference.get("labels", case.id), reference.shape, channels[0].shape)
        labels = _indices(challenge, reference.array)
        _write_volumes(output, f"{name}", end, channels, (reference, labels), layout)
        content.channels, content.ending = len(channels), ".nii.gz"
    else:
        image = challenge.read(case).images[0]  # type: ignore[union-attr]
        check_size(case.reference.get("labels", case.id), reference.shape, image.shape[:2])
        content.channels, content.ending = (
            _write_image(output, name, end, image, _indices(challenge, reference)),
            ".png",
        )
    content.names[name] = {"id": case.id, "group": case.group, "split": split}
    (content.test if is_test else content.training).append(name)


def _indices(challenge: Challenge, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    table = np.zeros(max(challenge.labels) + 1, np.uint8)
    table[list(challenge.labels)] = np.arange(len(challenge.labels))
    indices: npt.NDArray[np.uint8] = table[labels]
    return indices


def _volume_channels(challenge: Challenge, case: Case) -> Sequence[npt.NDArray[Any]]:
    inputs = challenge.exchange.inputs
    sample = (inputs["volume"] if "volume" in inputs else inputs["image"]).read(case)
    if isinstance(sample, VolumeSample):
        return list(sample.volumes)
    return [np.ascontiguousarray(channel) for channel in np.moveaxis(sample.images, -1, 0)]


def _write_volumes(
    output: Path,
    name: str,
    end: str,
    channels: Sequence[npt.NDArray[Any]],
    reference: tuple[Volume, npt.NDArray[np.uint8]],
    layout: Layout,
) -> None:
    like, labels = reference
    spacing = like.spacing or (1.0, 1.0, 1.0)
    if layout == "nnunet":
        for index, channel in enumerate(channels):
            path = output / f"images{end}" / f"{name}_{index:04}.nii.gz"
            nifti_mha.write_volume(path, Volume(channel, spacing, like.origin, like.direction))
    else:
        path = output / f"images{end}" / f"{name}.nii.gz"
        nifti_mha.write_volume(path, _joined(channels, Volume(labels, spacing, like.origin, like.direction)))
    target = output / f"labels{end}" / f"{name}.nii.gz"
    nifti_mha.write_volume(target, Volume(labels, spacing, like.origin, like.direction))


def _joined(channels: Sequence[npt.NDArray[Any]], like: Volume) -> Volume:
    """One volume of all channels, 4-D where there are several."""
    if len(channels) == 1:
        return Volume(channels[0], like.spacing, like.origin, like.direction)
    assert like.spacing is not None
    direction = None
    if like.direction is not None:
        four = np.eye(4)
        four[:3, :3] = np.reshape(like.direction, (3, 3))
        direction = tuple(four.ravel().tolist())
    origin = None if like.origin is None else (0.0, *like.origin)
    return Volume(np.stack(list(channels)), (1.0, *like.spacing), origin, direction)


def _write_image(
    output: Path, name: str, end: str, image: npt.NDArray[Any], labels: npt.NDArray[np.uint8]
) -> int:
    """Write image and label map as PNG; the number of channels."""
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    raster.write_image(
        output / f"images{end}" / f"{name}_0000.png", image[..., 0] if image.shape[2] == 1 else image
    )
    raster.write_label_map(output / f"labels{end}" / f"{name}.png", labels)
    return int(image.shape[2])


def _description(challenge: Challenge, layout: Layout, content: _Written) -> dict[str, Any]:
    classes = ["background", *list(challenge.labels.values())[1:]]
    names = tuple(challenge.card.modalities) or (RGB if content.channels == 3 else ("image",))
    channels = {str(index): name for index, name in enumerate(names[: max(1, content.channels)])}
    common = {
        "name": challenge.title,
        "licence": challenge.card.license,
        "reference": challenge.card.homepage,
    }
    if layout == "nnunet":
        reader = {".png": "NaturalImage2DIO"}.get(content.ending, "SimpleITKIO")
        return {
            "channel_names": channels,
            "labels": {name: index for index, name in enumerate(classes)},
            "numTraining": len(content.training),
            "file_ending": content.ending,
            "overwrite_image_reader_writer": reader,
            **common,
        }
    return {
        **common,
        "description": challenge.card.summary,
        "release": "medbench",
        "tensorImageSize": "4D" if content.channels > 1 else "3D",
        "modality": channels,
        "labels": {str(index): name for index, name in enumerate(classes)},
        "numTraining": len(content.training),
        "numTest": len(content.test),
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in content.training
        ],
        "test": [f"./imagesTs/{name}.nii.gz" for name in content.test],
    }
