"""SIIM-ACR pneumothorax segmentation: the outline of the air in chest radiographs, or nothing.

Source: kaggle.com/c/siim-acr-pneumothorax-segmentation: DICOM files, run lengths, and the mean Dice, in which
an image without pneumothorax gives 1 for an empty prediction and 0 for any other.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.families.image_masks.scoring import OWN_SIZE, AgreeingMaskScorer
from medbench.challenges.siim_pneumothorax.files import SIIMRelease
from medbench.core.result_table import ratio_column

CARD = Card(
    name="siim_pneumothorax",
    title="SIIM-ACR pneumothorax",
    summary="segmentation of pneumothoraces in chest radiographs, most of which show none",
    labels={0: "background", 1: "pneumothorax"},
    metrics=(
        ratio_column("dice", "Dice", "dice", OWN_SIZE, headline=True),
        ratio_column("iou", "IoU", "iou", OWN_SIZE),
    ),
    failure_rule=(
        "0 in every column (ours). Where the reference itself cannot be read, the scores are undefined and "
        "enter no mean. An image without pneumothorax: 1 for an empty prediction, else 0, as the organisers."
    ),
    citation=(
        "Society for Imaging Informatics in Medicine, American College of Radiology: SIIM-ACR Pneumothorax "
        "Segmentation, Kaggle (2019)"
    ),
    bibtex="""@misc{siim2019pneumothorax,
  title = {{SIIM-ACR} Pneumothorax Segmentation},
  author = {{Society for Imaging Informatics in Medicine} and {American College of Radiology}},
  year = {2019},
  howpublished = {Kaggle}
}""",
    license="the competition's rules: research and education",
    homepage="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
)


def siim_pneumothorax() -> Challenge:
    """Segmentation of pneumothoraces in chest radiographs."""
    release = SIIMRelease(CARD)
    exchange = ImageMaskExchange(CARD, release)
    return Challenge(CARD, release, exchange, AgreeingMaskScorer(CARD, exchange))
