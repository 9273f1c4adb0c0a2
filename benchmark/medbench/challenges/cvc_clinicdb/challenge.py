"""CVC-ClinicDB: 612 frames of 29 colonoscopy sequences, each with the mask of its polyp.

Sources: the frames, their sequences and the licence from the dataset's own README; the leaking split and the
papers' scoring from Monsoon49/MSLAU-Net@efdb058 and Caipengzhou/BRAU-Netplusplus@b25641a
(``isic_cvc_train_test``).
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.cvc_clinicdb.files import CVCClinicDBRelease
from medbench.challenges.families.cvc_frames.citation import BIBTEX, CITATION, HOMEPAGE, LICENSE
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.families.image_masks.scoring import (
    FAILURE_RULE,
    OWN_SIZE_COLUMNS,
    PAPER_COLUMNS,
    ImageMaskScorer,
)

CARD = Card(
    name="cvc_clinicdb",
    title="CVC-ClinicDB",
    summary="segmentation of the polyp in colonoscopy frames",
    labels={0: "background", 1: "polyp"},
    metrics=(*OWN_SIZE_COLUMNS, *PAPER_COLUMNS),
    failure_rule=FAILURE_RULE,
    citation=CITATION,
    bibtex=BIBTEX,
    license=LICENSE,
    homepage=HOMEPAGE,
    published_file=Path(__file__).parent / "published.toml",
)


def cvc_clinicdb() -> Challenge:
    """Polyp segmentation in colonoscopy frames."""
    release = CVCClinicDBRelease(CARD)
    exchange = ImageMaskExchange(CARD, release)
    return Challenge(CARD, release, exchange, ImageMaskScorer(CARD, exchange))
