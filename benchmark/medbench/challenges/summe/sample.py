"""The synthetic sample of SumMe: twenty-five short videos, summarised by fifteen to eighteen people."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.annotations import RawVideo
from medbench.challenges.families.video_summaries.files import file_name
from medbench.challenges.families.video_summaries.sample import chosen_by_people, write_videos
from medbench.challenges.simulators.video_events import draw_importance, draw_video
from medbench.core.files import atomic_path

SEED, VIDEOS, CONTRARY = 2014, 25, 3
_HEADER = b"MATLAB 5.0 MAT-file, drawn by medbench".ljust(116)


def write_sample(root: Path) -> None:
    """Draw the released file and ``GT/*.mat``; each video depends on its own number only."""
    videos = {}
    for number in range(1, VIDEOS + 1):
        rng = np.random.default_rng([SEED, number])
        video = draw_video(rng)
        people = int(rng.integers(15, 19))
        selections = chosen_by_people(video, draw_importance(video, rng, people, CONTRARY))
        name = f"Drawn_{number:02}"
        videos[number] = (video, RawVideo(name, selections, has_ratings=False))
        _write_annotations(root / "GT" / f"{name}.mat", selections)
    write_videos(root / file_name("summe"), videos)


def _write_annotations(path: Path, selections: npt.NDArray[np.int64]) -> None:
    """As the release has them, with a header that tells no time, so that two drawings are equal."""
    from scipy.io import savemat

    stream = io.BytesIO()
    arrays = {
        "user_score": selections.T.astype(np.uint8),
        "nFrames": np.array([[selections.shape[1]]], np.uint16),
    }
    savemat(stream, arrays, do_compression=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_HEADER + stream.getvalue()[len(_HEADER) :])
