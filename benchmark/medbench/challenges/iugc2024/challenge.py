"""IUGC 2024, the Intrapartum Ultrasound Grand Challenge: standard planes, segmentation, biometry.

Sources: scoring, starting-kit layout and the code-submission interface from maskoffs/IUGC2024@bad8150
(``starting_tool_kit/utils/evaluator.py``, ``eval/``); the released set's layout and file formats from
its documentation (Zenodo 17655183, "DatasetV3").

The challenge scores two populations, so there are two kinds of cases. ``segmentation/<mask>`` is one
labelled frame: Dice, Hausdorff and average surface distance of the pubic symphysis (PS), the fetal
head (FH) and their union, and the biometry that follows from the mask. ``classification/<video>`` is
every frame of one video: standard plane or not; those metrics are pooled over all frames of a split.

How the organisers weighted the tasks, and what their program did after an error, is not public.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge, Finding, size_text
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.score import Score, Status
from medbench.io import raster, video
from medbench.io.tables import read_table

STRUCTURES = {"ps": "PS", "fh": "FH", "all": "PS+FH"}
MASK_CODINGS = ((0, 1, 2), (0, 7, 8), (0, 127, 255))
PENALTY_PX = 100.0

_SEGMENTATION = (
    *(
        MetricSpec(f"dice_{key}", f"Dice {name}", "", "higher", "dice.plus_one", (0.0, 1.0), headline=True)
        for key, name in STRUCTURES.items()
    ),
    *(
        MetricSpec(f"hd_{key}", f"HD {name}", "px", "lower", "hd.set", headline=key == "all")
        for key, name in STRUCTURES.items()
    ),
    *(
        MetricSpec(f"asd_{key}", f"ASD {name}", "px", "lower", "asd.edge8", headline=key == "all")
        for key, name in STRUCTURES.items()
    ),
)
_BIOMETRY = (
    MetricSpec("aop_contour", "ΔAoP", "°", "lower", "aop.contour", (0.0, 180.0), headline=True),
    MetricSpec("hsd", "ΔHSD", "px", "lower", "hsd", headline=True),
    MetricSpec("aop_ellipse", "ΔAoP (ellipse)", "°", "lower", "aop.ellipse", (0.0, 180.0)),
)
_CLASSIFICATION = (
    MetricSpec("accuracy", "ACC", "", "higher", "accuracy", (0.0, 1.0), True, True),
    MetricSpec("f1", "F1", "", "higher", "f1", (0.0, 1.0), True, True),
    MetricSpec("auc", "AUC", "", "higher", "auc", (0.0, 1.0), True, True),
    MetricSpec("mcc", "MCC", "", "higher", "mcc", (-1.0, 1.0), True, True),
)


def decode_mask(labels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    """Label values to 0 background, 1 PS, 2 FH, from any of the three codings in circulation.

    Training masks are 0/7/8, validation and test masks 0/127/255, the evaluator's own 0/1/2.

    Raises:
        MedbenchError: ``data.label_unknown`` with the values found, when no single coding explains them.
    """
    found = np.unique(labels).tolist()
    for coding in MASK_CODINGS:
        if set(found) <= set(coding):
            table = np.zeros(256, np.uint8)
            table[list(coding)] = (0, 1, 2)
            return table[labels]
    shown = [str(value) for value in found[:8]] + ["…"] * (len(found) > 8)
    raise MedbenchError(
        "data.label_unknown",
        f"{name}: label values {', '.join(shown)} fit no mask coding.",
        "Use 0/1/2, 0/7/8 or 0/127/255 for background, pubic symphysis and fetal head.",
    )


def parse_frame_list(text: str, frame_count: int, name: str) -> list[int]:
    """``ALL``, ``NONE``, ``[9, 10]`` or ``0,19,29`` as frame indices.

    Raises:
        MedbenchError: ``data.frame_list`` when it is none of these or names a frame beyond the video.
    """
    text = text.strip().strip('"[]')
    if text.upper() == "ALL":
        return list(range(frame_count))
    if text.upper() in ("NONE", "NULL", ""):
        return []
    try:
        frames = [int(part) for part in text.split(",")]
    except ValueError:
        frames = [-1]
    if min(frames) < 0 or max(frames) >= frame_count:
        raise MedbenchError(
            "data.frame_list",
            f"{name}: '{text[:60]}' is no list of frames 0 to {frame_count - 1}.",
            "Expected ALL, NONE or comma-separated frame indices.",
        )
    return frames


class IUGC2024(Challenge):
    """Frame classification, segmentation and biometry in intrapartum ultrasound videos."""

    name = "iugc2024"
    title = "IUGC 2024"
    task = "video frame classification, segmentation and biometry"
    labels = {0: "background", 1: "pubic symphysis", 2: "fetal head"}  # noqa: RUF012
    image_classes = ("non-standard plane", "standard plane")
    splits = ("train", "val", "test")
    metrics = (*_SEGMENTATION, *_BIOMETRY, *_CLASSIFICATION)
    failure_rule = (
        "medbench-1 (the organisers' rule is not public): a failed or missing mask scores as the official "
        "evaluator scores an empty one (Dice 0, HD and ASD 100 px); a failed angle counts as 0°, so ΔAoP is "
        "the reference angle, and ΔHSD is the reference HSD but at least 100 px; every frame of a failed or "
        "missing video counts as misclassified with full confidence. A case whose reference cannot be read "
        "has no score."
    )
    citation = "Beyond Benchmarks of IUGC: the Intrapartum Ultrasound Grand Challenge 2024, arXiv 2602.12922"
    license = "CC BY 4.0"
    homepage = "https://zenodo.org/records/17655183"
    data_hint = (
        "Unpack Zenodo record 17655183 (DatasetV3: train/, val/, test/) or the starting kit (pos/, neg/), "
        "or give a folder of mask PNGs for segmentation alone."
    )
    sample_version = "2"

    def cases(self, root: Path, split: str) -> list[Case]:
        """Labelled frames first, then videos, both in the order of their names."""
        self.check_split(split)
        if (root / split).is_dir():
            found = [*self._released_frames(root / split, split), *self._released_videos(root / split, split)]
        elif any((root / part).is_dir() for part in ("train", "val", "test")):
            raise MedbenchError("data.split_missing", f"{root}: has no folder '{split}'.", self.data_hint)
        elif (root / "pos").is_dir() or (root / "neg").is_dir():
            found = list(self._starting_kit(root))
        elif root.is_dir():
            found = [
                Case(f"segmentation/{path.stem}", {}, {"labels": path}, path.stem, {"task": "segmentation"})
                for path in sorted(root.glob("*.png"))
            ]
        else:
            raise MedbenchError("data.layout_unknown", f"{root}: there is no such folder.", self.data_hint)
        if not found:
            raise self.layout_error(root, ("train/ val/ test/", "pos/ neg/", "*.png"))
        return found

    @staticmethod
    def _video_path(folder: Path, name: str) -> Path:
        """Some archives unpack ``X.avi`` as ``X__X.avi``."""
        plain, doubled = folder / f"{name}.avi", folder / f"{name}__{name}.avi"
        return doubled if doubled.is_file() and not plain.is_file() else plain

    def _released_frames(self, folder: Path, split: str) -> Iterator[Case]:
        column = "labeled_index" if split == "train" else "labeled_frame_index"
        table = folder / "seg" / "seg_info.csv"
        for row in sorted(
            read_table(table, "filename", "frame_count", column), key=lambda row: row["filename"]
        ):
            name = Path(row["filename"]).stem
            where = f"{table}, {row['filename']}"
            for frame in sorted(parse_frame_list(row[column], int(row["frame_count"]), where)):
                mask = {
                    "train": Path(name, "mask", f"{name}_{frame}_6.png"),
                    "val": Path(f"{name}_{frame}.png"),
                    "test": Path(f"{name}.png"),
                }[split]
                yield self._frame_case(
                    self._video_path(folder / "videos", name), folder / "seg" / mask, name, frame
                )

    def _released_videos(self, folder: Path, split: str) -> Iterator[Case]:
        tables = [
            path
            for path in (folder / "cls" / "cls_label.csv", folder / "cls" / "class_label.csv")
            if path.is_file()
        ]
        if not tables:
            raise MedbenchError(
                "file.unreadable", f"{folder / 'cls'}: holds no class label file.", self.data_hint
            )
        rows = read_table(tables[0], "filename", "frame_count", "pos_index", "neg_index")
        for row in sorted(rows, key=lambda row: row["filename"]):
            name, count = Path(row["filename"]).stem, int(row["frame_count"])
            where = f"{tables[0]}, {row['filename']}"
            classes = np.full(count, -1)
            classes[parse_frame_list(row["neg_index"], count, where)] = 0
            classes[parse_frame_list(row["pos_index"], count, where)] = 1
            yield self._video_case(self._video_path(folder / "videos", name), name, tuple(classes.tolist()))

    def _starting_kit(self, root: Path) -> Iterator[Case]:
        folders = sorted(path for path in root.glob("pos/*") if path.is_dir())
        for folder in folders:
            masks = {
                int(match[1]): path
                for path in folder.glob("mask/*.png")
                if (match := re.fullmatch(re.escape(folder.name) + r"_(\d+)_6", path.stem))
            }
            for frame, path in sorted(masks.items()):
                yield self._frame_case(folder / f"{folder.name}.avi", path, folder.name, frame)
        videos = [(folder / f"{folder.name}.avi", 1) for folder in folders]
        videos += [(path, 0) for path in sorted(root.glob("neg/*.avi"))]
        for path, standard_plane in videos:
            if path.is_file():
                classes = (standard_plane,) * video.count_frames(path)
                yield self._video_case(path, path.stem, classes)

    @staticmethod
    def _frame_case(path: Path, mask: Path, name: str, frame: int) -> Case:
        facts = {"task": "segmentation", "frame": frame}
        return Case(f"segmentation/{mask.stem}", {"video": path}, {"labels": mask}, name, facts)

    @staticmethod
    def _video_case(path: Path, name: str, classes: tuple[int, ...]) -> Case:
        facts = {"task": "classification", "classes": classes}
        return Case(f"classification/{name}", {"video": path}, {}, name, facts)

    def read(self, case: Case) -> Sample:
        """The labelled frame alone, or the whole video."""
        if "video" not in case.inputs:
            raise MedbenchError(
                "data.no_input", f"{case.id}: this folder holds reference masks only.", self.data_hint
            )
        if case.facts["task"] == "classification":
            frames = video.read_frames(case.inputs["video"])
            if len(frames) != len(case.facts["classes"]):
                raise MedbenchError(
                    "data.frame_count",
                    f"{case.inputs['video']}: has {len(frames)} frames where the class table says "
                    f"{len(case.facts['classes'])}.",
                    "The video or the table is from another release.",
                )
            return Sample(case, frames, frozenset({"image_classes"}))
        frame = video.read_frame(case.inputs["video"], case.facts["frame"])
        return Sample(case, frame[np.newaxis], frozenset({"labels"}))

    def prediction_name(self, case: Case) -> str:
        """``segmentation/<mask>.png`` (0/1/2) or ``classification/<video>.csv``."""
        return case.id + (".png" if case.facts["task"] == "segmentation" else ".csv")

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the label map, or a table of class probabilities a frame."""
        path = folder / self.prediction_name(case)
        if case.facts["task"] == "segmentation":
            assert prediction.labels is not None
            raster.write_label_map(path, prediction.labels[0])
        else:
            assert prediction.image_classes is not None
            lines = ["frame,non_standard_plane,standard_plane"]
            lines += [f"{i},{row[0]:.9g},{row[1]:.9g}" for i, row in enumerate(prediction.image_classes)]
            write_text(path, "\n".join(lines) + "\n")
        return path

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference mask of a segmentation case, ``(height, width)``, labels 0, 1, 2.

        Raises:
            MedbenchError: when the file is missing, damaged or holds unknown labels.
        """
        path = case.reference["labels"]
        return decode_mask(raster.read_label_map(path), str(path))

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Official scores of one mask, or the frame classes of one video as pooled evidence."""
        if case.facts["task"] == "classification":
            probabilities = _read_probabilities(path, len(case.facts["classes"]))
            return self._classified(case, probabilities)
        reference = self.read_reference(case)
        prediction = decode_mask(raster.read_label_map(path), str(path))
        if prediction.shape != reference.shape:
            found, due = size_text(prediction.shape), size_text(reference.shape)
            raise MedbenchError(
                "data.size_mismatch",
                f"{path}: is {found} where its reference is {due}.",
                "Resize predictions back to the frame (nearest neighbour) before writing them.",
            )
        return CaseScores(self.score_arrays(reference, prediction))

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """The labelled frame, or black where there is no video, with both masks."""
        if case.facts["task"] != "segmentation":
            return None
        reference = self.read_reference(case)
        prediction = decode_mask(raster.read_label_map(path), str(path))
        video_there = case.inputs.get("video") is not None and case.inputs["video"].is_file()
        image = self.read(case).images[0] if video_there else np.zeros((*reference.shape, 3), np.uint8)
        return image, reference, prediction

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The nine official segmentation values and the biometry errors of one mask.

        Args:
            reference: ``(height, width)`` integers, 0 background, 1 PS, 2 FH.
            prediction: the same shape and labels.
            spacing: not used: the official program works in pixels.
        """
        from medbench.metrics.official.intrapartum import biometry_scores, segmentation_scores

        biometry = biometry_scores(reference, prediction)
        return {**segmentation_scores(reference, prediction), **_penalised(biometry, reference)}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :attr:`failure_rule`."""
        if case.facts["task"] == "classification":
            wrong = [[float(known == 1), float(known == 0)] for known in case.facts["classes"]]
            return self._classified(case, np.array(wrong))
        try:
            reference = self.read_reference(case)
        except MedbenchError as error:
            return CaseScores(
                {spec.name: Score.undefined(error.message) for spec in (*_SEGMENTATION, *_BIOMETRY)}
            )
        scores = {
            spec.name: Score(0.0 if spec.name.startswith("dice") else PENALTY_PX, status, reason)
            for spec in _SEGMENTATION
        }
        failed = {spec.name: Score(None, status, reason) for spec in _BIOMETRY}
        return CaseScores({**scores, **_penalised(failed, reference)})

    @staticmethod
    def _classified(case: Case, probabilities: npt.NDArray[np.float64]) -> CaseScores:
        classes = np.array(case.facts["classes"])
        known = classes >= 0
        return CaseScores(
            {},
            {
                "reference": classes[known].tolist(),
                "prediction": probabilities[known].argmax(axis=1).tolist(),
                "score": probabilities[known, 1].tolist(),
            },
        )

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """Classification metrics are pooled over the frames of all videos."""
        if not metric.pooled:
            return super().statistic(metric, rows)
        from medbench.metrics.tasks import classification

        videos = [(index, row.evidence) for index, row in enumerate(rows) if row.evidence]
        if not videos:
            return lambda weights: np.full(weights.shape[:-1], np.nan)
        owner = np.concatenate([np.full(len(evidence["reference"]), index) for index, evidence in videos])
        reference, prediction, score = (
            np.concatenate([np.asarray(evidence[key]) for _, evidence in videos])
            for key in ("reference", "prediction", "score")
        )

        def pooled(weights: Weights) -> npt.NDArray[np.float64]:
            by_frame = weights[..., owner]
            if metric.name == "auc":
                return classification.auc(reference, score, weights=by_frame)
            function = {
                "accuracy": classification.accuracy,
                "f1": classification.f1,
                "mcc": classification.mcc,
            }
            return function[metric.name](reference, prediction, weights=by_frame)

        return pooled

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Labelled frames with their masks, and the other frames with their class alone."""
        cases = self.cases(root, split)
        labelled = {
            (case.inputs["video"], case.facts["frame"]): case for case in cases if "frame" in case.facts
        }
        images: list[TrainingImage] = []
        for case in cases:
            for frame, image_class in enumerate(case.facts.get("classes", ())):
                key = (case.inputs["video"], frame)
                if image_class >= 0:
                    images.append(
                        self._training_image(*key, case.group, image_class, labelled.pop(key, None), cache)
                    )
        for (path, frame), case in labelled.items():
            images.append(self._training_image(path, frame, case.group, 1, case, cache))
        return images

    def _training_image(
        self, path: Path, frame: int, group: str, image_class: int, case: Case | None, cache: Path
    ) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
            picture = video.resized_frames(path, size, cache)[frame]
            labels = None if case is None else raster.resize_labels(self.read_reference(case), size, size)
            return picture, labels

        return TrainingImage(f"{group}#{frame}", group, load, case is not None, image_class)

    def sample(self, root: Path) -> None:
        """Draw 26 training, 4 validation and 8 test videos in the released layout, with negatives."""
        from medbench.challenges.iugc2024.sample import write_sample

        write_sample(root)

    def check(self, root: Path) -> list[Finding]:
        """Every split present: files there, frame counts, mask codings and sizes, videos in two splits."""
        findings: list[Finding] = []
        groups: dict[str, str] = {}
        present = [split for split in self.splits if (root / split).is_dir()] or [self.default_split]
        for split in present:
            cases = self.cases(root, split)
            count = {
                task: sum(case.facts["task"] == task for case in cases)
                for task in ("segmentation", "classification")
            }
            findings.append(
                Finding("note", f"{split}: {count['classification']} videos, {count['segmentation']} masks.")
            )
            for case in cases:
                findings += self._check_case(case)
                if groups.setdefault(case.group, split) != split:
                    findings.append(
                        Finding(
                            "error",
                            f"video {case.group} is in both {groups[case.group]} and {split}.",
                            "Scores on it would be of training data: remove it from one split.",
                        )
                    )
        return findings

    def _check_case(self, case: Case) -> Iterator[Finding]:
        try:
            if case.facts["task"] == "classification":
                announced, expected = video.count_frames(case.inputs["video"]), len(case.facts["classes"])
                if announced != expected:
                    yield Finding(
                        "error", f"{case.inputs['video']}: {announced} frames, the table says {expected}."
                    )
                return
            reference = self.read_reference(case)
            if reference.shape != (512, 512):
                yield Finding(
                    "warning",
                    f"{case.reference['labels']}: {size_text(reference.shape)}, the release is 512×512.",
                )
            for label, structure in list(self.labels.items())[1:]:
                if not np.any(reference == label):
                    yield Finding("warning", f"{case.reference['labels']}: holds no {structure}.")
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)


def _read_probabilities(path: Path, n_frames: int) -> npt.NDArray[np.float64]:
    """``(frames, 2)`` from a prediction table, whatever the order of its rows."""
    rows = read_table(path, "frame", "non_standard_plane", "standard_plane")
    probabilities = np.full((n_frames, 2), np.nan)
    try:
        for row in rows:
            frame = int(row["frame"])
            if not 0 <= frame < n_frames:
                raise ValueError(f"frame {frame}")
            probabilities[frame] = float(row["non_standard_plane"]), float(row["standard_plane"])
    except (ValueError, TypeError) as error:
        raise MedbenchError(
            "data.prediction_malformed",
            f"{path}: cannot be read as class scores ({error}).",
            "Expected the columns frame, non_standard_plane, standard_plane with one row a frame.",
        ) from error
    missing = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if missing.size:
        raise MedbenchError(
            "data.prediction_incomplete",
            f"{path}: {missing.size} of {n_frames} frames have no finite score, the first is {missing[0]}.",
            "Give one row for every frame of the video.",
        )
    return probabilities


def _penalised(scores: Mapping[str, Score], reference: npt.NDArray[Any]) -> dict[str, Score]:
    """Fill failed biometry by the declared rule; a reference without biometry leaves it undefined."""
    from medbench.metrics.tasks import biometry

    filled = dict(scores)
    for name, score in scores.items():
        if score.status not in ("failed", "missing") or score.value is not None:
            continue
        try:
            if name == "aop_ellipse":
                penalty = biometry.aop_ellipse(reference)
            else:
                truth = biometry.aop_contour(reference)
                penalty = truth.aop if name == "aop_contour" else max(truth.hsd, PENALTY_PX)
            filled[name] = Score(penalty, score.status, score.reason)
        except biometry.LandmarkError as error:
            filled[name] = Score.undefined(f"the reference has no such measure: {error}")
    return filled
