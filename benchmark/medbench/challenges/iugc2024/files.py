"""Files of IUGC 2024: videos, masks in three codings, tables of frames, and class tables of predictions.

Sources: the starting kit's layout from maskoffs/IUGC2024@bad8150; the released set's layout and file formats
from its documentation (Zenodo 17655183, "DatasetV3").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.families.intrapartum_masks import decode_mask
from medbench.challenges.mask_sizes import check_size
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, counted
from medbench.io import raster, video
from medbench.io.gate.expected import Expected
from medbench.io.gate.listing import check_alone, list_folder, visible_paths
from medbench.io.tables import Column, Value, read_typed_table

SIDE = 512
CLASS_COLUMNS = ("non_standard_plane", "standard_plane")
MOST_FRAMES = 1_000_000
LEAST_TABLE_BYTES, BYTES_A_ROW = 1 << 20, 256


def parse_frame_list(text: str, frame_count: int, name: str) -> list[int]:
    """Indices of frames from a table's text: ``ALL``, ``NONE``, ``[9, 10]`` or ``0,19,29``.

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


def read_mask(path: Path, expected: Expected | None = None) -> npt.NDArray[np.uint8]:
    """A mask, ``(height, width)``, labels 0, 1, 2.

    Args:
        path: the file.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: when the file is missing, damaged or holds unknown labels.
    """
    return decode_mask(raster.read_label_map(path, expected=expected), str(path))


def mask_sizes(cases: Sequence[Case]) -> Iterator[tuple[Path, tuple[int, int], tuple[int, int]]]:
    """Mask, its size, and the size of its video's frames, by the headers of files that are there.

    Raises:
        MedbenchError: what the gate refuses of a header.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    for case in cases:
        mask, path = case.reference.get("labels"), case.inputs.get("video")
        if mask is None or path is None or not path.is_file():
            continue
        if path not in sizes:
            sizes[path] = video.frame_size(path)
        yield mask, raster.read_size(mask), sizes[path]


class IUGC2024Release(Release):
    """Files of IUGC 2024."""

    data_hint = (
        "Unpack Zenodo record 17655183 (DatasetV3: train/, val/, test/) or the starting kit (pos/, neg/), "
        "or give a folder of mask PNGs for segmentation alone."
    )
    sample_writer = "medbench.challenges.iugc2024.sample:write_sample"
    sample_version = "2"

    def cases(self, root: Path, split: str) -> list[Case]:
        """Cases of a split: labelled frames, then videos, both in the order of their names."""
        self.check_split(split)
        if (root / split).is_dir():
            cases = [*self._released_frames(root / split, split), *self._released_videos(root / split, split)]
        elif any((root / part).is_dir() for part in self.splits):
            raise MedbenchError("data.split_missing", f"{root}: has no folder '{split}'.", self.data_hint)
        elif (root / "pos").is_dir() or (root / "neg").is_dir():
            cases = list(self._starting_kit(root))
        elif root.is_dir():
            cases = [
                Case(f"segmentation/{stem}", {}, {"labels": path}, stem, {"task": "segmentation"})
                for stem, path in _masks_alone(root).items()
            ]
        else:
            raise MedbenchError("data.layout_unknown", f"{root}: there is no such folder.", self.data_hint)
        if not cases:
            raise self.layout_error(root, ("train/ val/ test/", "pos/ neg/", "*.png"))
        return cases

    @staticmethod
    def _video_path(folder: Path, name: str) -> Path:
        """Path of a video; some archives unpack ``X.avi`` as ``X__X.avi``."""
        plain, twice = folder / f"{name}.avi", folder / f"{name}__{name}.avi"
        return twice if twice.is_file() and not plain.is_file() else plain

    def _released_frames(self, folder: Path, split: str) -> Iterator[Case]:
        column = "labeled_index" if split == "train" else "labeled_frame_index"
        table = folder / "seg" / "seg_info.csv"
        for row in _video_rows(table, column):
            name = Path(str(row["filename"])).stem
            where = f"{table}, {row['filename']}"
            for frame in sorted(parse_frame_list(str(row[column]), int(row["frame_count"]), where)):
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
        for row in _video_rows(tables[0], "pos_index", "neg_index"):
            name, count = Path(str(row["filename"])).stem, int(row["frame_count"])
            where = f"{tables[0]}, {row['filename']}"
            classes = np.full(count, -1)
            classes[parse_frame_list(str(row["neg_index"]), count, where)] = 0
            classes[parse_frame_list(str(row["pos_index"]), count, where)] = 1
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
        videos += [(path, 0) for path in visible_paths(root, "neg/*.avi")]
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

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The reference mask of a segmentation case, ``(height, width)``, labels 0, 1, 2.

        Raises:
            MedbenchError: as :func:`read_mask`.
        """
        if not case.inputs:
            check_alone(case.reference["labels"], raster.SUFFIXES)
        return read_mask(case.reference["labels"])

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on the splits: counts, missing files, frame counts, masks, and videos in two splits."""
        findings: list[Finding] = []
        groups: dict[str, str] = {}
        present = [split for split in self.splits if (root / split).is_dir()] or [self.default_split]
        for split in present:
            cases = self.cases(root, split)
            count = {
                task: sum(case.facts["task"] == task for case in cases)
                for task in ("segmentation", "classification")
            }
            videos, masks = counted(count["classification"], "video"), counted(count["segmentation"], "mask")
            findings.append(Finding("note", f"{split}: {videos}, {masks}."))
            for case in cases:
                findings += findings_of(case.id, partial(self._check_case, case))
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
                frames, due = video.count_frames(case.inputs["video"]), len(case.facts["classes"])
                if frames != due:
                    yield Finding(
                        "error", f"{case.inputs['video']}: {counted(frames, 'frame')}, the table says {due}."
                    )
                return
            reference = self.read_reference(case)
            for sizes in mask_sizes([case]):
                check_size(*sizes)
            if reference.shape != (SIDE, SIDE):
                size = size_text(reference.shape)
                message = f"{case.reference['labels']}: {size}, the release is {SIDE}×{SIDE}."
                yield Finding("warning", message)
            for label, structure in list(self.card.labels.items())[1:]:
                if not np.any(reference == label):
                    yield Finding("warning", f"{case.reference['labels']}: holds no {structure}.")
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)


def _masks_alone(root: Path) -> dict[str, Path]:
    """Masks of every type that is read, by their stem; a second type of one stem is refused when read."""
    masks: dict[str, Path] = {}
    for entry in list_folder(root, raster.SUFFIXES, open_only=False).entries:
        masks.setdefault(entry.stem, entry.path)
    return masks


def _video_rows(table: Path, *columns: str) -> list[dict[str, Value]]:
    """Rows of a table of videos by file name, with the number of frames and further columns as text."""
    counted_frames = Column("frame_count", "int", 1, MOST_FRAMES)
    rows = read_typed_table(table, Column("filename"), counted_frames, *(Column(name) for name in columns))
    return sorted(rows, key=lambda row: str(row["filename"]))


def read_probabilities(path: Path, n_frames: int) -> npt.NDArray[np.float64]:
    """Class probabilities ``(frames, 2)`` of a prediction table, whatever the order of its rows.

    Raises:
        MedbenchError: ``data.prediction_malformed``, or ``data.prediction_incomplete`` where a frame lacks a
            finite score.
    """
    scores = [Column(name, "float", finite=False) for name in CLASS_COLUMNS]
    columns = Column("frame", "int", unique=True), *scores
    limit = Expected("prediction", memory_bytes=max(LEAST_TABLE_BYTES, BYTES_A_ROW * n_frames))
    try:
        rows = read_typed_table(path, *columns, expected=limit)
    except MedbenchError as error:
        if error.code != "data.table":
            raise
        raise _malformed(path, error.message.removeprefix(f"{path}: ").removesuffix(".")) from error
    probabilities = np.full((n_frames, 2), np.nan)
    for row in rows:
        frame = int(row["frame"])
        if not 0 <= frame < n_frames:
            raise _malformed(path, f"frame {frame} of {n_frames}")
        probabilities[frame] = [float(row[name]) for name in CLASS_COLUMNS]
    missing = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if missing.size:
        have = agreeing(missing.size, "has", "have")
        raise MedbenchError(
            "data.prediction_incomplete",
            f"{path}: {missing.size} of {n_frames} frames {have} no finite score, the first is {missing[0]}.",
            "Give one row for every frame of the video.",
        )
    return probabilities


def _malformed(path: Path, facts: str) -> MedbenchError:
    return MedbenchError(
        "data.prediction_malformed",
        f"{path}: cannot be read as class scores ({facts}).",
        "Expected the columns frame, non_standard_plane, standard_plane with one row a frame.",
    )
