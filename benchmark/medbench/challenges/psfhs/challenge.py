"""PSFHS 2023 (FH-PS-AOP): pubic symphysis and fetal head in frames of intrapartum ultrasound.

Sources: labels and the geometry of the files from the organisers' algorithm template,
lanesra10/FH-PS-AOP-grandchallenge@b3b8d0e; the challenge's report is arXiv 2409.10980.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.psfhs.exchange import PSFHSExchange
from medbench.challenges.psfhs.files import PSFHSRelease
from medbench.challenges.psfhs.scoring import FAILURE_RULE, METRICS, PSFHSScorer

CARD = Card(
    name="psfhs",
    title="PSFHS 2023",
    summary="segmentation of pubic symphysis and fetal head in intrapartum ultrasound",
    labels={0: "background", 1: "pubic symphysis", 2: "fetal head"},
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    citation=(
        "PSFHS Challenge Report: Pubic Symphysis and Fetal Head Segmentation from Intrapartum Ultrasound "
        "Images, arXiv 2409.10980"
    ),
    license="CC BY 4.0, as other projects state it",
    homepage="https://ps-fh-aop-2023.grand-challenge.org/",
    published_file=Path(__file__).parent / "published.toml",
)


def psfhs() -> Challenge:
    """Segmentation of pubic symphysis and fetal head, and the angle of progression."""
    release = PSFHSRelease(CARD)
    exchange = PSFHSExchange(CARD, release)
    return Challenge(CARD, release, exchange, PSFHSScorer(CARD, exchange))
