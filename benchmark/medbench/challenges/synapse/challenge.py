"""Synapse multi-organ CT (BTCV) as TransUNet prepared and scored it: 18 training and 12 test volumes.

Sources: preparation, lists and scoring from Beckschen/TransUNet@ee8acce (``datasets/README.md``,
``lists/lists_Synapse``, ``utils.py``); label order of the prepared set from the scripts that repeat the
preparation; the challenge from synapse.org syn3193805.

A volume goes slice by slice through a network: cubic spline to the network's size, argmax, nearest neighbour
back (:attr:`Synapse.resampling`). Two protocols score the volumes, and never share a table:

* ``of TransUNet``: Dice and HD95 in voxels; an organ that is predicted where there is none scores Dice 1, one
  that is missed HD95 0. This is what papers on this set report.
* ``unbiased, in mm``: Dice, and HD95 with the volume's spacing; an organ that only one mask has scores the
  volume's diagonal, one that neither has is left out.

The prepared files (.npz slices, .h5 volumes) have no spacing. Millimetres then need a ``spacing.csv`` beside
them (``case,z_mm,y_mm,x_mm``); without it those columns are undefined. NIfTI files have their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge, Finding, SplitFacts
from medbench.challenges.synapse.volumes import (
    Slices,
    kept_slices,
    read_case_image,
    read_case_labels,
    spacing_table,
)
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.io import hdf5, images, nifti_mha
from medbench.io.geometry import check_geometry

ORGANS = {
    "spleen": 1,
    "rightkidney": 2,
    "leftkidney": 3,
    "gallbladder": 4,
    "liver": 5,
    "stomach": 6,
    "aorta": 7,
    "pancreas": 8,
}
TITLES = {"rightkidney": "right kidney", "leftkidney": "left kidney"}
TEST_CASES = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
TRAIN_CASES = tuple(number for number in (*range(1, 11), *range(21, 41)) if number not in TEST_CASES)
TRAIN_SLICES = 2211
PREPARED = (".", "Synapse", "data/Synapse")
NIFTI = (".", "Training", "RawData/Training", "Abdomen/RawData/Training")
TRANSUNET, UNBIASED = "of TransUNet", "unbiased, in mm"
_SPACED = "hd95.pooled"
_NO_SPACING = "the file has no spacing, and there is no spacing.csv with this case"


def _columns(suffix: str, dice: str, hd95: str, unit: str, protocol: str) -> Iterator[MetricSpec]:
    for measure, convention, title in (("dice", dice, "Dice"), ("hd95", hd95, "HD95")):
        better, bounds = ("higher", (0.0, 1.0)) if measure == "dice" else ("lower", (0.0, None))
        for organ in ("", *ORGANS):
            yield MetricSpec(
                "_".join(part for part in (measure, suffix, organ) if part),
                f"{title} {TITLES.get(organ, organ)}".strip(),
                "" if measure == "dice" else unit,
                better,  # type: ignore[arg-type]
                convention,
                bounds,
                headline=not organ,
                protocol=protocol,
            )


class Synapse(Challenge):
    """Segmentation of eight abdominal organs in CT."""

    name = "synapse"
    title = "Synapse multi-organ CT"
    task = "segmentation of eight abdominal organs in CT"
    labels = {0: "background", **{label: TITLES.get(o, o) for o, label in ORGANS.items()}}  # noqa: RUF012
    splits = ("train", "test")
    resampling = "spline"
    metrics = (
        *_columns("transunet", "dice.transunet", "hd95.transunet", "voxel", TRANSUNET),
        *_columns("", "dice", _SPACED, "mm", UNBIASED),
    )
    failure_rule = (
        "Dice 0 and HD95 the volume's diagonal (in voxels and in mm) for every organ of the reference, "
        "under both protocols (ours; the authors' program stops)."
    )
    citation = (
        "Landman et al.: MICCAI multi-atlas labeling beyond the cranial vault, synapse.org syn3193805, 2015; "
        "preparation: Chen et al.: TransUNet, arXiv 2102.04306"
    )
    bibtex = """@misc{landman2015btcv,
  title = {{MICCAI} Multi-Atlas Labeling Beyond the Cranial Vault -- Workshop and Challenge},
  author = {Landman, Bennett and Xu, Zhoubing and Igelsias, Juan Eugenio and Styner, Martin and
            Langerak, Thomas Robin and Klein, Arno},
  year = {2015},
  howpublished = {\\url{https://www.synapse.org/Synapse:syn3193805}}
}

@misc{chen2021transunet,
  title = {{TransUNet}: Transformers Make Strong Encoders for Medical Image Segmentation},
  author = {Chen, Jieneng and Lu, Yongyi and Yu, Qihang and Luo, Xiangde and Adeli, Ehsan and
            Wang, Yan and Lu, Le and Yuille, Alan L. and Zhou, Yuyin},
  year = {2021},
  eprint = {2102.04306},
  archivePrefix = {arXiv}
}"""
    license = "by registration at synapse.org; no redistribution"
    homepage = "https://www.synapse.org/Synapse:syn3193805"
    data_hint = (
        "Expected train_npz/ and test_vol_h5/ as TransUNet prepares them, or img/ and label/ with the NIfTI "
        "files of RawData/Training."
    )
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """TransUNet's lists."""
        rule = "lists_Synapse of Beckschen/TransUNet@ee8acce: 18 training and 12 test volumes of BTCV's 30"
        return SplitFacts(rule, len(TEST_CASES) if split == "test" else None)

    def release_share(self, root: Path, split: str) -> tuple[int, int]:
        """Volumes, or slices where the training set is prepared."""
        cases = self.cases(root, split)
        if split == "test":
            return len(cases), len(TEST_CASES)
        return len(cases), TRAIN_SLICES if "slice" in cases[0].id else len(TRAIN_CASES)

    def cases(self, root: Path, split: str) -> list[Case]:
        """Volumes; slices of the prepared training set."""
        self.check_split(split)
        found = list(self._prepared(root, split)) or list(self._nifti(root, split))
        if not found:
            folders = ("train_npz/" if split == "train" else "test_vol_h5/", "img/ with label/")
            raise self.layout_error(root, folders)
        return found

    @staticmethod
    def _prepared(root: Path, split: str) -> Iterator[Case]:
        for base in (root / name for name in PREPARED):
            folder = base / ("train_npz" if split == "train" else "test_vol_h5")
            if not folder.is_dir():
                continue
            spacing = spacing_table(base / "spacing.csv")
            for path in sorted(folder.glob("case*.npz" if split == "train" else "case*.h5")):
                name = path.name.split(".")[0]
                group = name.split("_")[0]
                facts = {"spacing_mm": spacing[group]} if group in spacing else {}
                yield Case(name, {"image": path}, {"labels": path}, group, facts)
            return

    @staticmethod
    def _nifti(root: Path, split: str) -> Iterator[Case]:
        wanted = TRAIN_CASES if split == "train" else TEST_CASES
        for base in (root / name for name in NIFTI):
            if not (base / "img").is_dir():
                continue
            for number in wanted:
                image, label = (
                    _nifti_file(base / f"{kind}{number:04}") for kind in ("img/img", "label/label")
                )
                if image.is_file():
                    yield Case(f"case{number:04}", {"image": image}, {"labels": label}, f"case{number:04}")
            return

    def read(self, case: Case) -> Sample:
        """The volume as grey slices, ``(slices, height, width, 1)`` from 0 to 1 (HU −125 to 275)."""
        volume = read_case_image(case.inputs["image"])
        return Sample(case, volume.array[..., np.newaxis], frozenset({"labels"}))

    def prediction_name(self, case: Case) -> str:
        """``<case>_pred.nii.gz``, labels 0 to 8."""
        return f"{case.id}_pred.nii.gz"

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """Also under the case's bare name, and as .npz or .h5 with an array ``label``."""
        found = super().locate(case, folder, rename)
        others = (f"{case.id}{end}" for end in (".nii.gz", ".npz", ".npy.h5", ".h5"))
        return found or next((folder / name for name in others if (folder / name).is_file()), None)

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the label volume with the geometry that is known."""
        assert prediction.labels is not None
        path = folder / self.prediction_name(case)
        like = self._geometry(case)
        nifti_mha.write_volume(path, Volume(prediction.labels, like.spacing, like.origin, like.direction))
        return path

    @staticmethod
    def _geometry(case: Case) -> Volume:
        path = case.inputs["image"]
        if images.suffix_of(path) in nifti_mha.SUFFIXES:
            return nifti_mha.read_volume(path)
        return Volume(np.zeros(0), case.facts.get("spacing_mm"))

    @staticmethod
    def read_reference(case: Case) -> Volume:
        """Labels 0 to 8 with the spacing, where it is known.

        Raises:
            MedbenchError: when the file is missing, damaged or holds unknown labels.
        """
        volume = read_case_labels(case.reference["labels"], len(ORGANS))
        return Volume(
            volume.array, volume.spacing or case.facts.get("spacing_mm"), volume.origin, volume.direction
        )

    def _read_prediction(self, path: Path) -> Volume:
        if images.suffix_of(path) in hdf5.SUFFIXES:
            return Volume(_whole(hdf5.read_arrays(path, "label")["label"], path))
        volume = images.read_labels(path)
        labels = _whole(volume.array, path)
        return Volume(labels, volume.spacing, volume.origin, volume.direction)

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Both protocols on one volume.

        Raises:
            MedbenchError: also when size or geometry of the prediction is not the reference's.
        """
        reference, prediction = self.read_reference(case), self._read_prediction(path)
        if prediction.shape != reference.shape:
            sizes = ("×".join(map(str, volume.shape)) for volume in (prediction, reference))
            raise MedbenchError(
                "data.size_mismatch",
                f"{path}: is {next(sizes)} where its reference is {next(sizes)}.",
                "Bring predictions back to the volume's own grid, in the same order of axes.",
            )
        if reference.origin is not None and prediction.origin is not None:
            check_geometry(reference, prediction, str(path))
        return CaseScores(self.score_arrays(reference.array, prediction.array, reference.spacing))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Both protocols on label arrays.

        Args:
            reference: ``(slices, height, width)`` integers 0 to 8; a single slice counts as a picture.
            prediction: the same shape and labels.
            spacing: mm along each axis; without it HD95 in mm is undefined.
        """
        from medbench.metrics.engine import evaluate_arrays

        first, second = np.asarray(reference), np.asarray(prediction)
        if first.ndim == 3 and len(first) == 1:
            first, second = first[0], second[0]
        biased = evaluate_arrays(first, second, ["dice.transunet", "hd95.transunet"], ORGANS, "pixel")
        ids = ["dice"] if spacing is None else ["dice", _SPACED]
        steps = None if spacing is None else spacing[-first.ndim :]
        plain = evaluate_arrays(first, second, ids, ORGANS, steps, empty={_SPACED: "diagonal_if_one"})
        scores: dict[str, Score] = {}
        for spec in self.metrics:
            found = biased if spec.protocol == TRANSUNET else plain
            missing = Score.undefined(_NO_SPACING)
            by_organ = {organ: found[organ].get(spec.convention, missing) for organ in ORGANS}
            organ = spec.name.rpartition("_")[2]
            scores[spec.name] = by_organ[organ] if organ in ORGANS else _mean(by_organ)
        return scores

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`."""
        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.metrics})
        present = set(np.unique(reference.array).tolist())
        shape, spacing = np.array(reference.shape), reference.spacing
        far = {
            "voxel": float(np.linalg.norm(shape)),
            "mm": None if spacing is None else float(np.linalg.norm(shape * np.array(spacing))),
        }
        scores = {}
        for spec in self.metrics:
            organ = spec.name.rpartition("_")[2]
            if spec.protocol == UNBIASED and organ in ORGANS and ORGANS[organ] not in present:
                scores[spec.name] = Score.undefined("the reference has no such organ")
            else:
                scores[spec.name] = Score(0.0 if spec.better == "higher" else far[spec.unit], status, reason)
        return CaseScores(scores)

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The slice that has most organs in the reference, with both label maps."""
        image = read_case_image(case.inputs["image"]).array
        reference, prediction = self.read_reference(case).array, self._read_prediction(path).array
        z = int(np.argmax([len(np.unique(plane)) * 10**6 + np.count_nonzero(plane) for plane in reference]))
        grey = np.clip(np.rint(image[z] * 255), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1), reference[z], prediction[z]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Slices, resized by splines as the protocol does, grey in three channels."""
        return [
            _training_image(slices, index)
            for case in self.cases(root, split)
            for slices in [kept_slices(case, len(ORGANS), cache)]
            for index in range(len(slices))
        ]

    def sample(self, root: Path) -> None:
        """Draw four training and four test volumes in TransUNet's folders, with a table of spacings."""
        from medbench.challenges.synapse.sample import write_sample

        write_sample(root)

    def check(self, root: Path) -> list[Finding]:
        """Counts, value ranges, labels, sizes and geometry, and volumes that lie in both splits."""
        from medbench.challenges.synapse.volumes import look_over

        findings: list[Finding] = []
        by_split: dict[str, list[Case]] = {}
        for split in self.splits:
            try:
                by_split[split] = self.cases(root, split)
            except MedbenchError as error:
                findings.append(Finding("note", f"{split}: {error.message}", error.hint))
                continue
            present, released = self.release_share(root, split)
            what = "slices" if "slice" in by_split[split][0].id else "volumes"
            findings.append(
                Finding(
                    "note" if present == released else "warning",
                    f"{split}: {present} of the release's {released} {what}.",
                )
            )
        wrong = {"train": TEST_CASES, "test": TRAIN_CASES}
        strangers = {split: {f"case{number:04}" for number in numbers} for split, numbers in wrong.items()}
        return [*findings, *look_over(by_split, strangers, len(ORGANS))]


def _nifti_file(stem: Path) -> Path:
    """The compressed file, or the plain one when only that is there."""
    plain = stem.with_name(f"{stem.name}.nii")
    return plain if plain.is_file() else stem.with_name(f"{stem.name}.nii.gz")


def _training_image(slices: Slices, index: int) -> TrainingImage:
    def load(size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        return slices.load(index, size)

    return TrainingImage(slices.name(index), slices.group, load, labelled=True)


def _mean(by_organ: Mapping[str, Score]) -> Score:
    """Mean over the organs that have a value."""
    values = [score.value for score in by_organ.values() if score.value is not None]
    if not values:
        return Score.undefined(next(iter(by_organ.values())).reason or "no organ has a value")
    return Score(float(np.mean(values)))


def _whole(labels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint8]:
    """Predicted labels 0 to 8."""
    found = np.unique(labels)
    if not np.isin(found, range(len(ORGANS) + 1)).all():
        shown = ", ".join(f"{value:g}" for value in found[~np.isin(found, range(len(ORGANS) + 1))][:4])
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds the values {shown}, which are no labels 0 to {len(ORGANS)}.",
            "Number organs as 'medbench challenges show synapse' does; BTCV's own numbers run to 13.",
        )
    return labels.astype(np.uint8)
