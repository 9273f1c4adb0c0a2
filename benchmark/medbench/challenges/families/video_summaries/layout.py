"""One video of an ``eccv16_dataset_*_google_pool5.h5``: what the file holds, checked.

A group ``video_k`` has ``features`` (steps, 1024), ``gtscore`` (steps,), ``user_summary`` (users, frames) of
0 and 1, ``change_points`` (shots, 2) with both ends inclusive, ``n_frame_per_seg`` (shots,), ``n_frames``,
``picks`` (steps,) and ``n_steps``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.hdf5_groups import read_group
from medbench.metrics.tasks.shots import SUMMARY_SHARE, make_summary
from medbench.metrics.tasks.summaries import as_summary

FRAME_STEP = 15
FEATURES = 1024
_TIMELINE = ("n_frames", "picks", "change_points")


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Frames, sampled frames and shots of a video; nothing that annotators said.

    Attributes:
        n_frames: frames of the video.
        picks: sampled frames ``(steps,)``, ascending.
        change_points: first and last frame of each shot, both inclusive, ``(shots, 2)``.
    """

    n_frames: int
    picks: npt.NDArray[np.int64]
    change_points: npt.NDArray[np.int64]

    @property
    def capacity(self) -> int:
        """Frames that a summary of 15 % may have."""
        return int(SUMMARY_SHARE * self.n_frames)

    def summary(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """The official summary ``(frames,)`` of scores of the sampled frames ``(steps,)``.

        Shot means in float32, cut to whole thousandths; the knapsack as OR-tools' dynamic program solves it.
        """
        return make_summary(scores, self.picks, self.n_frames, self.change_points)


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Annotations of a video.

    Attributes:
        summaries: their summaries ``(users, frames)``.
        ratings: their importance scores of the sampled frames ``(users, steps)``; ``None`` where they gave
            summaries only.
        scores: mean importance of the sampled frames ``(steps,)``.
    """

    summaries: npt.NDArray[np.bool_]
    ratings: npt.NDArray[np.float64] | None
    scores: npt.NDArray[np.float64]


def read_timeline(path: Path, key: str) -> Timeline:
    """Frames, sampled frames and shots of one video.

    Raises:
        MedbenchError: as :func:`medbench.io.hdf5_groups.read_group` and :func:`checked_timeline`.
    """
    arrays = read_group(path, key, _TIMELINE, ("n_frame_per_seg", "n_steps"))
    timeline = checked_timeline(
        f"{path}: {key}",
        int(_number(path, key, arrays["n_frames"])),
        arrays["picks"],
        arrays["change_points"],
    )
    lengths = timeline.change_points[:, 1] - timeline.change_points[:, 0] + 1
    shot_lengths = arrays.get("n_frame_per_seg")
    if shot_lengths is not None and not np.array_equal(shot_lengths.reshape(-1), lengths):
        raise MedbenchError(
            "summary.shots",
            f"{path}: {key}: n_frame_per_seg is not what change_points say.",
            "Both count the frames of each shot; use the file as released.",
        )
    return timeline


def checked_timeline(where: str, n_frames: int, picks: Any, change_points: Any) -> Timeline:
    """A timeline that hangs together.

    Raises:
        MedbenchError: ``video.one_frame``, ``video.one_shot``, ``summary.picks`` for picks beyond the last
            frame or out of order, ``summary.shots`` for shots with gaps, overlaps or frames beyond the end.
    """
    picks, shots = np.asarray(picks).reshape(-1), np.asarray(change_points)
    if n_frames < 2 or len(picks) < 2:
        raise MedbenchError(
            "video.one_frame",
            f"{where}: has {counted(n_frames, 'frame')}, {len(picks)} of them sampled.",
            "There is nothing to choose from; leave the video out.",
        )
    if not np.isfinite(picks).all() or picks[0] < 0 or picks[-1] >= n_frames or (np.diff(picks) < 1).any():
        raise MedbenchError(
            "summary.picks",
            f"{where}: picks run from {picks.min():g} to {picks.max():g} in a video of {n_frames} frames.",
            "Picks ascend and lie within the video; they may be of another one.",
        )
    if shots.ndim != 2 or shots.shape[1] != 2 or len(shots) == 0:
        raise MedbenchError(
            "summary.shots",
            f"{where}: change_points have the shape {shots.shape}, expected (shots, 2).",
            "Give the first and last frame of each shot.",
        )
    if len(shots) == 1:
        raise MedbenchError(
            "video.one_shot",
            f"{where}: is a single shot of {counted(n_frames, 'frame')}.",
            "A summary chooses among shots; find shots first (medbench data prepare).",
        )
    follows = np.array_equal(shots[1:, 0], shots[:-1, 1] + 1)
    if not follows or shots[0, 0] != 0 or (shots[:, 1] < shots[:, 0]).any() or shots[-1, 1] >= n_frames:
        raise MedbenchError(
            "summary.shots",
            f"{where}: its {counted(len(shots), 'shot')} do not follow one another from frame 0 to at most "
            f"{n_frames - 1}.",
            "Both ends of a shot are inclusive, and the next one begins right after.",
        )
    return Timeline(n_frames, picks.astype(np.int64), shots.astype(np.int64))


def read_features(path: Path, key: str, timeline: Timeline) -> npt.NDArray[np.float32]:
    """Features of the sampled frames ``(steps, 1024)``.

    Raises:
        MedbenchError: ``features.width``, ``features.count``, ``features.not_finite``, and as
            :func:`medbench.io.hdf5_groups.read_group`.
    """
    features = read_group(path, key, ("features",))["features"]
    if features.ndim != 2 or features.shape[1] != FEATURES:
        raise MedbenchError(
            "features.width",
            f"{path}: {key}: features have the shape {features.shape}, expected (steps, {FEATURES}).",
            "GoogLeNet's pool5 gives 1,024 numbers a frame; medbench data prepare extracts them.",
        )
    if len(features) != len(timeline.picks):
        raise MedbenchError(
            "features.count",
            f"{path}: {key}: has {counted(len(features), 'row')} of features, {len(timeline.picks)} picks.",
            "Give one row a sampled frame.",
        )
    wrong = ~np.isfinite(features).all(axis=1)
    if wrong.any():
        raise MedbenchError(
            "features.not_finite",
            f"{path}: {key}: features of {counted(int(wrong.sum()), 'sampled frame')} hold NaN or "
            f"infinity, the first is step {int(np.argmax(wrong))}.",
            "Extract them again.",
        )
    return features.astype(np.float32)


def read_annotations(path: Path, key: str, timeline: Timeline) -> Annotations:
    """Annotators' summaries and mean scores as the file holds them.

    Raises:
        MedbenchError: ``annotation.not_finite`` naming the annotator, ``summary.not_binary``,
            ``annotation.length``, ``annotation.constant``.
    """
    arrays = read_group(path, key, ("user_summary", "gtscore"))
    users = arrays["user_summary"]
    if users.ndim != 2 or users.shape[1] != timeline.n_frames or len(users) == 0:
        raise MedbenchError(
            "annotation.length",
            f"{path}: {key}: user_summary has the shape {users.shape}, not (users, {timeline.n_frames}).",
            "Every annotator has one 0 or 1 for every frame of the video.",
        )
    check_annotators(f"{path}: {key}", users)
    summaries = as_summary(users, f"{path}: {key}: user_summary")
    return Annotations(summaries, None, checked_scores(f"{path}: {key}", arrays["gtscore"], timeline))


def check_annotators(where: str, rows: npt.NDArray[Any]) -> None:
    """Refuse an annotator with NaN by number; no annotator is ever dropped.

    Raises:
        MedbenchError: ``annotation.not_finite``.
    """
    for number, row in enumerate(rows, 1):
        if not np.isfinite(row).all():
            raise MedbenchError(
                "annotation.not_finite",
                f"{where}: annotator {number} of {len(rows)} has NaN or infinity.",
                "Copy the annotations again; no annotator is dropped, since scores depend on all of them.",
            )


def checked_scores(where: str, scores: npt.NDArray[Any], timeline: Timeline) -> npt.NDArray[np.float64]:
    """Mean importance ``(steps,)``, finite and not all alike.

    Raises:
        MedbenchError: ``annotation.length``, ``annotation.not_finite``, ``annotation.constant``.
    """
    values = np.asarray(scores, np.float64).reshape(-1)
    if len(values) != len(timeline.picks):
        raise MedbenchError(
            "annotation.length",
            f"{where}: gtscore has {counted(len(values), 'value')} and picks {len(timeline.picks)}.",
            "Give one value a sampled frame.",
        )
    if not np.isfinite(values).all():
        raise MedbenchError(
            "annotation.not_finite",
            f"{where}: gtscore holds NaN or infinity.",
            "Compute gtscore again from the annotations.",
        )
    if np.ptp(values) == 0:
        raise MedbenchError(
            "annotation.constant",
            f"{where}: gtscore is {values[0]:g} for every frame.",
            "There is no summary to learn from it; leave the video out.",
        )
    return values


def key_shots(timeline: Timeline, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Sampled frames ``(steps,)`` in the key-shot summary of mean importance, which networks learn from."""
    importance = (scores - scores.min()) / np.ptp(scores)
    return timeline.summary(importance.astype(np.float32))[timeline.picks]


def _number(path: Path, key: str, value: npt.NDArray[Any]) -> float:
    if value.size != 1 or not np.isfinite(value).all():
        raise MedbenchError(
            "data.not_real", f"{path}: {key}: n_frames is no number.", "Use the file as released."
        )
    return float(value.reshape(-1)[0])
