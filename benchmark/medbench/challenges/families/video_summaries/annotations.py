"""Raw annotation files: what each challenge's reader gives, and what is rebuilt from it."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.layout import (
    FRAME_STEP,
    Annotations,
    Timeline,
    check_annotators,
    checked_timeline,
)
from medbench.core.errors import MedbenchError
from medbench.core.text import counted, counted_are
from medbench.metrics.tasks.shots import select_shots, shot_scores

SHOT_FRAMES = 60


@dataclass(frozen=True, slots=True, eq=False)
class RawVideo:
    """Annotations of every frame of one video.

    Attributes:
        name: of the video.
        values: ``(users, frames)``: importance scores, or summaries.
        has_ratings: whether they are importance scores.
    """

    name: str
    values: npt.NDArray[Any]
    has_ratings: bool

    @property
    def n_frames(self) -> int:
        """Frames that were annotated."""
        return int(self.values.shape[1])


class RawFiles(Hashable, Protocol):
    """A challenge's raw annotation files."""

    def locate(self, root: Path) -> Path | None:
        """The file or folder of annotations in a data folder."""

    def names(self, place: Path) -> Sequence[str]:
        """Names of the videos in the release's order."""

    def read(self, place: Path, name: str) -> RawVideo:
        """Annotations of one video.

        Raises:
            MedbenchError: naming the file, and the annotator whose row has another length or holds NaN.
        """

    def file_of(self, place: Path, name: str) -> Path:
        """The file that holds the video's annotations."""


def equal_rows(where: str, rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """``(users, frames)`` of annotators' rows.

    Raises:
        MedbenchError: ``annotation.length`` for rows of different lengths, ``annotation.not_finite``.
    """
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise MedbenchError(
                "annotation.length",
                f"{where}: annotator {number} has {counted(len(row), 'value')}, annotator 1 {len(rows[0])}.",
                "Every annotator rates every frame; copy the file again.",
            )
    values = np.asarray(rows, np.float64)
    check_annotators(where, values)
    return values


def uniform_timeline(where: str, n_frames: int) -> Timeline:
    """Every 15th frame, and shots of 60 frames: two seconds at thirty frames a second."""
    starts = np.arange(0, n_frames, SHOT_FRAMES)
    ends = np.append(starts[1:], n_frames) - 1
    return checked_timeline(
        where, n_frames, np.arange(0, n_frames, FRAME_STEP), np.stack([starts, ends], axis=1)
    )


def rebuilt(raw: RawVideo, timeline: Timeline) -> Annotations:
    """Annotators' summaries, ratings and mean importance, from what they gave for every frame.

    Ratings become summaries by the official steps: shot means, and the knapsack at 15 % of the frames.

    Raises:
        MedbenchError: ``annotation.length`` when the video has another length.
    """
    every = _aligned(raw, timeline)
    values = every[:, timeline.picks]
    if not raw.has_ratings:
        return Annotations(every > 0, None, (values > 0).mean(axis=0))
    summaries = np.stack([_summary(user, timeline) for user in every])
    return Annotations(summaries, values.astype(np.float64), values.mean(axis=0))


def sampled_ratings(raw: RawVideo, timeline: Timeline) -> npt.NDArray[np.float64] | None:
    """Importance of the sampled frames ``(users, steps)``; ``None`` where annotators gave summaries.

    Raises:
        MedbenchError: as :func:`rebuilt`.
    """
    return _aligned(raw, timeline)[:, timeline.picks].astype(np.float64) if raw.has_ratings else None


def _aligned(raw: RawVideo, timeline: Timeline) -> npt.NDArray[Any]:
    """``(users, frames)`` at the video's length: cut, or with zeros at the end."""
    if raw.n_frames < timeline.picks[-1] + 1 or abs(raw.n_frames - timeline.n_frames) > FRAME_STEP:
        raise MedbenchError(
            "annotation.length",
            f"{raw.name}: {counted_are(raw.n_frames, 'frame')} annotated, the video has {timeline.n_frames}.",
            "The annotations may be of another video.",
        )
    every = np.zeros((len(raw.values), timeline.n_frames), raw.values.dtype)
    length = min(raw.n_frames, timeline.n_frames)
    every[:, :length] = raw.values[:, :length]
    return every


def _summary(ratings: npt.NDArray[Any], timeline: Timeline) -> npt.NDArray[np.bool_]:
    shots = timeline.change_points
    selection = select_shots(shot_scores(ratings, shots), shots[:, 1] - shots[:, 0] + 1, timeline.capacity)
    summary = np.zeros(timeline.n_frames, np.bool_)
    for first, last in shots[selection]:
        summary[first : last + 1] = True
    return summary


def raw_name(files: RawFiles, place: Path, number: int, n_frames: int) -> str | None:
    """The raw video that ``video_<number>`` is: of equal length, and the number-th where several are.

    Args:
        files: the challenge's raw files.
        place: where they lie.
        number: of the group in the released file.
        n_frames: of that group.
    """
    lengths = _lengths(files, place, _stamp(place))
    same = [name for name, frames in lengths if abs(frames - n_frames) <= 1]
    if len(same) == 1:
        return same[0]
    candidate = lengths[number - 1][0] if number <= len(lengths) else None
    return candidate if candidate in same else None


def _stamp(place: Path) -> int:
    return place.stat().st_mtime_ns


@functools.lru_cache(maxsize=8)
def _lengths(files: RawFiles, place: Path, stamp: int) -> list[tuple[str, int]]:
    return [(name, files.read(place, name).n_frames) for name in files.names(place)]
