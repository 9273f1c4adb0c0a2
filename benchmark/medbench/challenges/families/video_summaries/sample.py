"""What the samples of both challenges write: drawn videos in the layout of the released files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.annotations import RawVideo, rebuilt
from medbench.challenges.families.video_summaries.layout import Timeline, key_shots
from medbench.challenges.simulators.video_events import EventVideo
from medbench.io.hdf5_groups import write_groups


def video_arrays(video: EventVideo, raw: RawVideo) -> dict[str, Any]:
    """The arrays of a group ``video_k`` for a drawn video and its annotations."""
    timeline = Timeline(video.n_frames, video.picks, video.change_points)
    annotations = rebuilt(raw, timeline)
    return {
        "features": video.features,
        "gtscore": annotations.scores.astype(np.float32),
        "user_summary": annotations.summaries.astype(np.float32),
        "change_points": video.change_points.astype(np.int32),
        "n_frame_per_seg": (video.change_points[:, 1] - video.change_points[:, 0] + 1).astype(np.int32),
        "n_frames": np.int64(video.n_frames),
        "picks": video.picks.astype(np.int32),
        "n_steps": np.int64(len(video.picks)),
        "gtsummary": key_shots(timeline, annotations.scores).astype(np.float32),
    }


def write_videos(path: Path, videos: dict[int, tuple[EventVideo, RawVideo]]) -> None:
    """Write drawn videos as one of the released files."""
    write_groups(path, {f"video_{number}": video_arrays(*parts) for number, parts in videos.items()})


def chosen_by_people(video: EventVideo, importance: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Frames that people choose who see ``importance`` ``(users, frames)``, as SumMe stores them."""
    timeline = Timeline(video.n_frames, video.picks, video.change_points)
    annotations = rebuilt(RawVideo("drawn", importance, has_ratings=True), timeline)
    return annotations.summaries.astype(np.int64)
