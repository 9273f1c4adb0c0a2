"""Polyps of CVC-ClinicDB as boxes: those of the connected components of its masks.

The release has masks alone; that its polyps are to be found as boxes is ours, so there is no official ranking
and no published figure. Splits are those of ``cvc_clinicdb``.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.cvc_clinicdb_boxes.files import CVCBoxesRelease
from medbench.challenges.families.cvc_frames.citation import BIBTEX, CITATION, HOMEPAGE, LICENSE
from medbench.challenges.families.image_boxes.exchange import ImageBoxExchange
from medbench.challenges.families.image_boxes.scoring import (
    COLUMNS,
    FAILURE_RULE,
    IMAGE_PRECISION,
    ImageBoxScorer,
)

CARD = Card(
    name="cvc_clinicdb_boxes",
    title="CVC-ClinicDB, boxes",
    summary="detection of the polyps in colonoscopy frames",
    demands_besides={"boxes": ("polyp",)},
    metrics=(*(column.spec for column in COLUMNS), IMAGE_PRECISION),
    failure_rule=FAILURE_RULE,
    citation=CITATION,
    bibtex=BIBTEX,
    license=LICENSE,
    homepage=HOMEPAGE,
)


def cvc_clinicdb_boxes() -> Challenge:
    """Polyp detection in colonoscopy frames."""
    exchange = ImageBoxExchange(CARD, CVCBoxesRelease(CARD))
    return Challenge(CARD, exchange.release, exchange, ImageBoxScorer(CARD, exchange))
