"""Files and folds of TVSum."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.files import VideoSummaryRelease
from medbench.challenges.families.video_summaries.splits import Splits
from medbench.challenges.tvsum.annotations import TVSumFiles

NOTE = "the folds are drawn at random: 18 of the 50 videos are never tested, video 16 four times"
SPLITS = Splits(
    "tvsum",
    (
        (35, 43, 21, 16, 38, 31, 33, 34, 1, 15),
        (34, 50, 11, 19, 10, 27, 16, 1, 37, 15),
        (26, 24, 23, 41, 16, 43, 1, 36, 50, 18),
        (19, 26, 42, 11, 40, 46, 29, 18, 20, 44),
        (35, 41, 50, 44, 15, 22, 16, 28, 48, 17),
    ),
    NOTE,
)


class TVSumRelease(VideoSummaryRelease):
    """Files of TVSum."""

    data_hint = (
        "Expected eccv16_dataset_tvsum_google_pool5.h5, for rank correlation with ydata-tvsum50.mat or "
        "ydata-tvsum50-anno.tsv beside it (those alone suffice for medbench evaluate --split "
        "annotations); the augmented and transfer settings need the files of summe, ovp and youtube too. "
        "Own videos: medbench data prepare tvsum --videos DIR -o FILE.h5."
    )
    sample_version = "1"

    def __init__(self, card: Card) -> None:
        super().__init__(card, SPLITS, TVSumFiles())

    def write_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Draw fifty short videos with twenty annotators each."""
        from medbench.challenges.tvsum.sample import write_sample

        write_sample(root)
