"""TVSum: 50 web videos of ten categories, 20 annotators who rate every two seconds from 1 to 5.

Source: Song et al., TVSum: Summarizing web videos using titles, CVPR 2015 (``yalesong/tvsum``).
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.exchange import VideoSummaryExchange
from medbench.challenges.families.video_summaries.scoring import FAILURE_RULE, VideoSummaryScorer, columns
from medbench.challenges.tvsum.files import TVSumRelease

CARD = Card(
    name="tvsum",
    title="TVSum",
    summary="importance of the frames of web videos, and a summary of 15 % of each",
    demands_besides={"frame_scores": ("importance",)},
    metrics=columns("mean"),
    failure_rule=FAILURE_RULE,
    case_columns=("share", "random_f"),
    citation=(
        "Song, Vallmitjana, Stent, Jaimes: TVSum: Summarizing web videos using titles. CVPR 2015, 5179–5187"
    ),
    bibtex="""@inproceedings{song2015tvsum,
  title = {{TVSum}: Summarizing web videos using titles},
  author = {Song, Yale and Vallmitjana, Jordi and Stent, Amanda and Jaimes, Alejandro},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {5179--5187},
  year = {2015}
}""",
    license="videos CC BY 3.0; annotations released with them",
    homepage="https://github.com/yalesong/tvsum",
    published_file=Path(__file__).parent / "published.toml",
)


def tvsum() -> Challenge:
    """Summaries of web videos against twenty annotators."""
    release = TVSumRelease(CARD)
    return Challenge(CARD, release, VideoSummaryExchange(CARD, release), VideoSummaryScorer(CARD, release))
