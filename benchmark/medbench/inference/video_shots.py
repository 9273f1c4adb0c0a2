"""From a video file to what networks of sequences see: sampled frames, features and shots, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.inference.frame_features import FrameFeatures
from medbench.io.video_stream import iterate_frames
from medbench.metrics.tasks.long_segmentation import segment_features

Sampling = Literal["every_15th", "two_a_second"]
_STEP, _INTERVAL_S = 15, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SampledVideo:
    """A video as networks of sequences see it.

    Attributes:
        n_frames: decoded frames.
        picks: sampled frames ``(steps,)``.
        features: ``(steps, 1024)``.
        change_points: first and last frame of each shot, both inclusive, ``(shots, 2)``.
    """

    n_frames: int
    picks: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    change_points: npt.NDArray[np.int64]


def sample_video(path: Path, extractor: FrameFeatures, sampling: Sampling = "every_15th") -> SampledVideo:
    """Decode a video once, keep features of the sampled frames, and find its shots.

    Shots are those of kernel temporal segmentation on features of unit length, with random weights after the
    video's mean is subtracted.

    Args:
        path: the video.
        extractor: makes features of frames.
        sampling: every 15th frame, or two frames a second by their times.

    Raises:
        MedbenchError: as :func:`medbench.io.video_stream.iterate_frames`, and ``video.one_frame``.
    """
    picks: list[int] = []
    count = 0

    def sampled() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal count
        for index, time_s, frame in iterate_frames(path):
            count = index + 1
            due = (
                index % _STEP == 0 if sampling == "every_15th" else time_s >= len(picks) * _INTERVAL_S - 1e-6
            )
            if due:
                picks.append(index)
                yield frame.to_ndarray(format="rgb24")

    features = extractor.of(sampled())
    if len(picks) < 2:
        raise MedbenchError(
            "video.one_frame",
            f"{path}: {counted(count, 'frame')}, {len(picks)} sampled.",
            "There is nothing to choose from; leave the video out.",
        )
    places = np.array(picks)
    shots = find_shots(features, places, count, centre=not extractor.sha256)
    return SampledVideo(count, places, features, shots)


def find_shots(
    features: Any, picks: npt.NDArray[np.int64], n_frames: int, *, centre: bool = False
) -> npt.NDArray[np.int64]:
    """First and last frame of each shot, both inclusive, ``(shots, 2)``.

    Args:
        features: of the sampled frames ``(steps, channels)``.
        picks: the sampled frames.
        n_frames: of the video.
        centre: subtract the video's mean first; features of random weights are all but equal without that.
    """
    features = features - features.mean(axis=0) if centre else features
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    changes = segment_features(np.divide(features, lengths, where=lengths > 0, out=np.zeros_like(features)))
    borders = np.concatenate([[0], picks[changes], [n_frames]])
    return np.stack([borders[:-1], borders[1:] - 1], axis=1)
