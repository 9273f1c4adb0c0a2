"""Files and folds of SumMe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.files import VideoSummaryRelease
from medbench.challenges.families.video_summaries.splits import Splits
from medbench.challenges.summe.annotations import SumMeFiles

NOTE = "every video is tested once"
SPLITS = Splits(
    "summe",
    (
        (1, 7, 8, 13, 22),
        (2, 4, 14, 24, 25),
        (6, 9, 12, 15, 16),
        (3, 11, 17, 19, 20),
        (5, 10, 18, 21, 23),
    ),
    NOTE,
)


class SumMeRelease(VideoSummaryRelease):
    """Files of SumMe."""

    data_hint = (
        "Expected eccv16_dataset_summe_google_pool5.h5, or the 25 files GT/<video>.mat, which suffice for "
        "medbench evaluate --split annotations; the augmented and transfer settings need the files of "
        "tvsum, ovp and youtube too. Own videos: medbench data prepare summe --videos DIR -o FILE.h5."
    )
    sample_version = "1"

    def __init__(self, card: Card) -> None:
        super().__init__(card, SPLITS, SumMeFiles())

    def write_sample(self, root: Path, options: Mapping[str, int]) -> None:
        """Draw twenty-five short videos, each summarised by fifteen to eighteen people."""
        from medbench.challenges.summe.sample import write_sample

        write_sample(root)
