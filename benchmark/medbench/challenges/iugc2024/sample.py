"""The synthetic sample of IUGC 2024, in the released layout and file formats.

Layout, columns, names and mask codings follow the documentation of Zenodo record 17655183: training masks
0/7/8 named ``<video>_<frame>_6.png``, validation and test masks 0/127/255, one a video, test videos named
``test_<number>_<labelled frame>``.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.ultrasound import Clip, draw_video
from medbench.core.files import write_json, write_text
from medbench.io import raster, video

SEED = 2024
CODING = {"train": (0, 7, 8), "val": (0, 127, 255), "test": (0, 127, 255)}
LABELLED_STEP = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """A video of the sample, before it is drawn."""

    split: str
    number: int
    standard_plane: Literal["all", "none", "mixed"]
    n_frames: int

    @property
    def name(self) -> str:
        """File name without suffix, of the release's form."""
        if self.split == "test":
            return f"test_{self.number}_{self.n_frames - 1}"
        year = 2019 if self.split == "train" else 2020
        day = f"{year}{1 + self.number % 12:02d}{1 + self.number % 28:02d}T1{self.number % 10}3000"
        return f"{day}I{self.number}" if self.standard_plane != "none" else f"{day}_{self.number}"

    def labelled(self, standard_plane: npt.NDArray[np.bool_]) -> list[int]:
        """Indices of the frames that get a mask."""
        frames = np.flatnonzero(standard_plane).tolist()
        if self.split == "train":
            return frames[::LABELLED_STEP]
        return frames[-1:] if self.split == "test" else frames[len(frames) // 2 :][:1]


def plans() -> list[Plan]:
    """Videos of the sample: 17 positive and 9 negative for training, 4 mixed for validation, 8 for test."""
    train = [Plan("train", number, "none" if number % 8 in (2, 5, 7) else "all", 24) for number in range(26)]
    rest = [
        Plan(split, number, "mixed", n_frames + number % 4)
        for split, count, n_frames in (("val", 4, 26), ("test", 8, 27))
        for number in range(count)
    ]
    return train + rest


def write_sample(root: Path, videos: list[Plan] | None = None, size: int = 512) -> None:
    """Draw every video with its masks and tables; each depends on the seed and its own number only.

    Args:
        root: folder that gets ``train``, ``val`` and ``test``.
        videos: what to draw; :func:`plans` if not given.
        size: side of the frames in pixels.
    """
    from medbench.metrics.tasks.biometry import aop_contour

    jobs = plans() if videos is None else videos
    with ThreadPoolExecutor(2) as pool:
        clips = list(pool.map(lambda plan: _write_video(root, plan, size), jobs))
    for split in CODING:
        of_split = [(plan, clip) for plan, clip in zip(jobs, clips, strict=True) if plan.split == split]
        landmarks: dict[str, Any] = {}
        for plan, clip in of_split:
            for frame in plan.labelled(clip.standard_plane):
                biometry = aop_contour(clip.labels[frame])
                landmarks[_mask_path(plan, frame).name] = {
                    "ps_points": [[str(y), str(x)] for y, x in biometry.ps_points],
                    "hsd_point": [str(value) for value in biometry.hsd_point],
                    "aop_tangency": [str(value) for value in biometry.aop_tangency],
                    "hsd": biometry.hsd,
                    "aop": biometry.aop,
                }
        write_json(root / split / "seg" / "landmark.json", landmarks)
        _write_tables(root / split, split, of_split)


def _write_video(root: Path, plan: Plan, size: int) -> Clip:
    seed = [SEED, sorted(CODING).index(plan.split), plan.number]
    generator = np.random.default_rng(seed)
    clip = draw_video(generator, n_frames=plan.n_frames, size=size, standard_plane=plan.standard_plane)
    video.write_video(root / plan.split / "videos" / f"{plan.name}.avi", clip.frames)
    coding = np.array(CODING[plan.split], np.uint8)
    for frame in plan.labelled(clip.standard_plane):
        raster.write_label_map(
            root / plan.split / "seg" / _mask_path(plan, frame), coding[clip.labels[frame]]
        )
    return clip


def _mask_path(plan: Plan, frame: int) -> Path:
    if plan.split == "train":
        return Path(plan.name, "mask", f"{plan.name}_{frame}_6.png")
    return Path(f"{plan.name}.png" if plan.split == "test" else f"{plan.name}_{frame}.png")


def _write_tables(folder: Path, split: str, of_split: list[tuple[Plan, Clip]]) -> None:
    labels, segmentations, infos = [], [], []
    for plan, clip in of_split:
        file = f"{plan.name}.avi"
        positive = np.flatnonzero(clip.standard_plane).tolist()
        negative = np.flatnonzero(~clip.standard_plane).tolist()
        frames = plan.labelled(clip.standard_plane)
        indices = ",".join(map(str, frames))
        labels.append([file, plan.n_frames, _index(positive, plan.n_frames), _index(negative, plan.n_frames)])
        if frames:
            segmentations.append([file, plan.n_frames, len(frames), indices])
        if split == "train":
            standard = str(bool(positive)).upper()
            infos.append([file, standard, plan.n_frames, len(frames) or "null", indices or "null"])
        else:
            infos.append(
                [file, len(positive), len(negative), plan.n_frames, len(frames), indices, positive, negative]
            )
    index_column = "labeled_index" if split == "train" else "labeled_frame_index"
    _write_csv(
        folder / "seg" / "seg_info.csv",
        ["filename", "frame_count", "labeled_frame_count", index_column],
        segmentations,
    )
    _write_csv(
        folder / "cls" / ("class_label.csv" if split == "train" else "cls_label.csv"),
        ["filename", "frame_count", "pos_index", "neg_index"],
        labels,
    )
    columns = {
        "train": ["filename", "pos", "frame_count", "labeled_frame_count", "labeled_frame_index"],
    }.get(
        split,
        [
            "filename",
            "SP_count",
            "NSP_count",
            "frame_count",
            "labeled_frame_count",
            "labeled_frame_index",
            "SP_index",
            "NSP_index",
        ],
    )
    _write_csv(folder / f"{split}_info.csv", columns, infos)


def _index(frames: list[int], n_frames: int) -> str:
    if len(frames) in (0, n_frames):
        return "ALL" if frames else "NONE"
    return str(frames)


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(itertools.chain([columns], rows))
    write_text(path, text.getvalue())
