"""RSNA pneumonia detection: pneumonia or none, boxes of opacities, and the filled boxes as masks.

Sources: kaggle.com/c/rsna-pneumonia-detection-challenge for files; violet-42/CM-CGNS@4e75806 for the tasks.
Its program leaves images without predictions or without boxes out of the average precision; here they count.
"""

from __future__ import annotations

from typing import Any

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.image_boxes.exchange import ImageBoxExchange
from medbench.challenges.families.image_boxes.scoring import COLUMNS, IMAGE_PRECISION, ImageBoxScorer
from medbench.challenges.families.image_boxes.scoring import FAILURE_RULE as BOX_RULE
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.families.image_classes.scoring import FAILURE_RULE as CLASS_RULE
from medbench.challenges.families.image_classes.scoring import MARGIN, ImageClassScorer, figure_column
from medbench.challenges.families.image_classes.table import TableForm
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.families.image_masks.scoring import OWN_SIZE, AgreeingMaskScorer
from medbench.challenges.rsna_pneumonia.files import RSNABoxes, RSNAClasses, RSNAMasks
from medbench.challenges.rsna_pneumonia.table import CLASSES
from medbench.core.result_table import ratio_column

FIGURES = (
    figure_column("auc", "AUC", "auc.one_vs_rest", "auc", 1, headline=True),
    figure_column("average_precision", "AP", "average_precision.one_vs_rest", "average_precision", 1),
    figure_column("sensitivity", "sensitivity", "sensitivity.one_vs_rest", "sensitivity", 1),
    figure_column("specificity", "specificity", "specificity.one_vs_rest", "specificity", 1),
)
_SHARED: dict[str, Any] = {
    "citation": (
        "Shih et al.: Augmenting the National Institutes of Health chest radiograph dataset with expert "
        "annotations of possible pneumonia. Radiology: Artificial Intelligence 1 (2019), "
        "doi 10.1148/ryai.2019180041"
    ),
    "bibtex": """@article{shih2019augmenting,
  title = {Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert Annotations of
           Possible Pneumonia},
  author = {Shih, George and Wu, Carol C. and Halabi, Safwan S. and others},
  journal = {Radiology: Artificial Intelligence},
  volume = {1},
  year = {2019},
  doi = {10.1148/ryai.2019180041}
}""",
    "license": "the competition's rules: research and education",
    "homepage": "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
}
CARD = Card(
    name="rsna_pneumonia",
    title="RSNA pneumonia",
    summary="pneumonia or none in chest radiographs",
    demands_besides={"image_classes": CLASSES},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=CLASS_RULE,
    **_SHARED,
)
BOX_CARD = Card(
    name="rsna_pneumonia_boxes",
    title="RSNA pneumonia, boxes",
    summary="detection of opacities in chest radiographs",
    demands_besides={"boxes": ("opacity",)},
    metrics=(*(column.spec for column in COLUMNS), IMAGE_PRECISION),
    failure_rule=BOX_RULE,
    **_SHARED,
)
MASK_CARD = Card(
    name="rsna_pneumonia_masks",
    title="RSNA pneumonia, filled boxes",
    summary="segmentation of the boxes of opacities in chest radiographs",
    labels={0: "background", 1: "opacity"},
    metrics=(
        ratio_column("dice", "Dice", "dice", OWN_SIZE, headline=True),
        ratio_column("iou", "IoU", "iou", OWN_SIZE),
    ),
    failure_rule=(
        "0 in every column (ours). Where the reference itself cannot be read, the scores are undefined and "
        "enter no mean. An image without boxes: 1 for an empty prediction, else 0, as the paper's program."
    ),
    **_SHARED,
)


def rsna_pneumonia() -> Challenge:
    """Pneumonia or none in chest radiographs."""
    exchange = ImageClassExchange(CARD, RSNAClasses(CARD), TableForm("patientId", ("Target",)))
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))


def rsna_pneumonia_boxes() -> Challenge:
    """Opacities in chest radiographs."""
    exchange = ImageBoxExchange(BOX_CARD, RSNABoxes(BOX_CARD))
    return Challenge(BOX_CARD, exchange.release, exchange, ImageBoxScorer(BOX_CARD, exchange))


def rsna_pneumonia_masks() -> Challenge:
    """Boxes of opacities in chest radiographs, filled."""
    exchange = ImageMaskExchange(MASK_CARD, RSNAMasks(MASK_CARD))
    return Challenge(MASK_CARD, exchange.release, exchange, AgreeingMaskScorer(MASK_CARD, exchange))
