"""ISIC 2018 task 1: lesion boundary segmentation in dermoscopy, 2,594 + 100 + 1,000 images.

Sources: layout and file names from the organisers' release; official scoring from
ImageMarkup/isic-challenge-scoring@23808e9 (``isic_challenge_scoring/task1.py``: masks are read above 128, the
ranking is the mean Jaccard index per image, counted 0 below 0.65); the papers' split and scoring from
Caipengzhou/BRAU-Netplusplus@b25641a (``isic_cvc_train_test``).
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.image_masks.scoring import (
    FAILURE_RULE,
    OWN_SIZE,
    OWN_SIZE_COLUMNS,
    PAPER_COLUMNS,
    ImageMaskScorer,
)
from medbench.challenges.families.isic import ISIC_2018
from medbench.challenges.isic2018.exchange import ISIC2018Exchange
from medbench.challenges.isic2018.files import ISIC2018Release
from medbench.core.result_table import ratio_column

CARD = Card(
    name="isic2018",
    title="ISIC 2018 task 1",
    summary="segmentation of the lesion in dermoscopic images",
    labels={0: "background", 1: "lesion"},
    metrics=(
        ratio_column("iou_thresholded", "thresholded Jaccard", "iou.thresholded", OWN_SIZE, headline=True),
        *OWN_SIZE_COLUMNS,
        ratio_column("specificity", "specificity", "specificity", OWN_SIZE),
        *PAPER_COLUMNS,
    ),
    failure_rule=FAILURE_RULE,
    **ISIC_2018,
    homepage="https://challenge.isic-archive.com/landing/2018/45/",
    published_file=Path(__file__).parent / "published.toml",
)


def isic2018() -> Challenge:
    """Segmentation of skin lesions in dermoscopic images."""
    release = ISIC2018Release(CARD)
    exchange = ISIC2018Exchange(CARD, release)
    return Challenge(CARD, release, exchange, ImageMaskScorer(CARD, exchange))
