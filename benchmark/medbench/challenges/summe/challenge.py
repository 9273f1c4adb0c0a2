"""SumMe: 25 user videos of one to six minutes, 15 to 18 people who summarise each.

Source: Gygli et al., Creating summaries from user videos, ECCV 2014.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.exchange import VideoSummaryExchange
from medbench.challenges.families.video_summaries.scoring import FAILURE_RULE, VideoSummaryScorer, columns
from medbench.challenges.summe.files import SumMeRelease

CARD = Card(
    name="summe",
    title="SumMe",
    summary="importance of the frames of user videos, and a summary of 15 % of each",
    demands_besides={"frame_scores": ("importance",)},
    metrics=columns("max"),
    failure_rule=FAILURE_RULE,
    case_columns=("share", "random_f"),
    citation=(
        "Gygli, Grabner, Riemenschneider, Van Gool: Creating summaries from user videos. ECCV 2014, 505–520"
    ),
    bibtex="""@inproceedings{gygli2014creating,
  title = {Creating summaries from user videos},
  author = {Gygli, Michael and Grabner, Helmut and Riemenschneider, Hayko and Van Gool, Luc},
  booktitle = {European Conference on Computer Vision},
  pages = {505--520},
  year = {2014}
}""",
    license="none stated",
    homepage="https://gyglim.github.io/me/vsum/index.html",
    published_file=Path(__file__).parent / "published.toml",
)


def summe() -> Challenge:
    """Summaries of user videos against fifteen to eighteen people."""
    release = SumMeRelease(CARD)
    return Challenge(CARD, release, VideoSummaryExchange(CARD, release), VideoSummaryScorer(CARD, release))
