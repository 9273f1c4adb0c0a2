"""The synthetic sample of TVSum: fifty short videos, rated by twenty annotators, four of whom disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medbench.challenges.families.video_summaries.annotations import RawVideo
from medbench.challenges.families.video_summaries.files import file_name
from medbench.challenges.families.video_summaries.sample import write_videos
from medbench.challenges.simulators.video_events import draw_ratings, draw_video
from medbench.challenges.tvsum.annotations import TABLE
from medbench.core.files import write_text

SEED, VIDEOS, USERS, CONTRARY = 2015, 50, 20, 4


def write_sample(root: Path) -> None:
    """Draw the released file and the table of ratings; each video depends on its own number only."""
    videos, lines = {}, []
    for number in range(1, VIDEOS + 1):
        rng = np.random.default_rng([SEED, number])
        video = draw_video(rng)
        ratings = draw_ratings(video, rng, USERS, CONTRARY)
        videos[number] = (video, RawVideo(f"drawn_{number:02}", ratings, has_ratings=True))
        lines += [f"drawn_{number:02}\tXX\t{','.join(map(str, user))}\n" for user in ratings]
    write_videos(root / file_name("tvsum"), videos)
    write_text(root / TABLE, "".join(lines))
