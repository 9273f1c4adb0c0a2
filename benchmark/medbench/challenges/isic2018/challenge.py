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
    citation=(
        "Codella et al.: Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv 1902.03368; Tschandl, "
        "Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5 (2018), doi 10.1038/sdata.2018.161"
    ),
    bibtex="""@misc{codella2019isic,
  title = {Skin Lesion Analysis Toward Melanoma Detection 2018: A Challenge Hosted by the International Skin
           Imaging Collaboration ({ISIC})},
  author = {Codella, Noel and Rotemberg, Veronica and Tschandl, Philipp and others},
  year = {2019},
  eprint = {1902.03368},
  archivePrefix = {arXiv}
}

@article{tschandl2018ham10000,
  title = {The {HAM10000} dataset, a large collection of multi-source dermatoscopic images of common pigmented
           skin lesions},
  author = {Tschandl, Philipp and Rosendahl, Cliff and Kittler, Harald},
  journal = {Scientific Data},
  volume = {5},
  pages = {180161},
  year = {2018},
  doi = {10.1038/sdata.2018.161}
}""",
    license="CC BY-NC 4.0",
    homepage="https://challenge.isic-archive.com/landing/2018/45/",
    published_file=Path(__file__).parent / "published.toml",
)


def isic2018() -> Challenge:
    """Segmentation of skin lesions in dermoscopic images."""
    release = ISIC2018Release(CARD)
    exchange = ISIC2018Exchange(CARD, release)
    return Challenge(CARD, release, exchange, ImageMaskScorer(CARD, exchange))
