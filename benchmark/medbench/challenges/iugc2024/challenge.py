"""IUGC 2024, the Intrapartum Ultrasound Grand Challenge: standard planes, segmentation, biometry.

Sources: scoring, starting-kit layout and the code-submission interface from maskoffs/IUGC2024@bad8150
(``starting_tool_kit/utils/evaluator.py``, ``eval/``); the released set's layout and file formats from
its documentation (Zenodo 17655183, "DatasetV3").

The challenge scores two populations, so there are two kinds of cases. ``segmentation/<mask>`` is one
labelled frame: Dice, Hausdorff and average surface distance of the pubic symphysis (PS), the fetal
head (FH) and their union, and the biometry of the mask. ``classification/<video>`` is every frame of one
video, standard plane or not; metrics of classification are pooled over all frames of a split.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.iugc2024.exchange import IUGC2024Exchange
from medbench.challenges.iugc2024.files import IUGC2024Release
from medbench.challenges.iugc2024.scoring import FAILURE_RULE, METRICS, IUGC2024Scorer

CARD = Card(
    name="iugc2024",
    title="IUGC 2024",
    summary="video frame classification, segmentation and biometry",
    labels={0: "background", 1: "pubic symphysis", 2: "fetal head"},
    demands_besides={"image_classes": ("non-standard plane", "standard plane")},
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    citation="Beyond Benchmarks of IUGC: the Intrapartum Ultrasound Grand Challenge 2024, arXiv 2602.12922",
    license="CC BY 4.0",
    homepage="https://zenodo.org/records/17655183",
    published_file=Path(__file__).parent / "published.toml",
)


def iugc2024() -> Challenge:
    """Frame classification, segmentation and biometry in intrapartum ultrasound videos."""
    release = IUGC2024Release(CARD)
    exchange = IUGC2024Exchange(CARD, release)
    return Challenge(CARD, release, exchange, IUGC2024Scorer(CARD, release))
