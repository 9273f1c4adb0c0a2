"""ISIC 2018 task 3: classes of skin lesions in dermoscopy, 10,015 training images of HAM10000.

Source: challenge.isic-archive.com/landing/2018/47: names, columns, and the ranking by the mean of the recalls
of the seven classes. Confidences lie between 0 and 1; as the organisers say, their sum need not be 1.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.families.image_classes.scoring import (
    FAILURE_RULE,
    MARGIN,
    ImageClassScorer,
    class_columns,
    figure_column,
)
from medbench.challenges.families.image_classes.table import TableForm
from medbench.challenges.families.isic import ISIC_2018
from medbench.challenges.isic2018_task3.files import CODES, ISIC2018Task3Release

FIGURES = (
    figure_column(
        "balanced_accuracy", "balanced accuracy", "balanced_accuracy", "sensitivity", headline=True
    ),
    figure_column("auc", "AUC (mean over classes)", "auc.macro", "auc", headline=True),
    figure_column("accuracy", "accuracy", "accuracy.multiclass", "accuracy"),
    figure_column(
        "average_precision", "AP (mean over classes)", "average_precision.macro", "average_precision"
    ),
    *class_columns(CODES, "auc", "average_precision", "sensitivity", "specificity"),
)
CARD = Card(
    name="isic2018_task3",
    title="ISIC 2018 task 3",
    summary="seven classes of skin lesions in dermoscopic images",
    demands_besides={"image_classes": CODES},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=FAILURE_RULE,
    **ISIC_2018,
    homepage="https://challenge.isic-archive.com/landing/2018/47/",
)


def isic2018_task3() -> Challenge:
    """Seven classes of skin lesions in dermoscopic images."""
    exchange = ImageClassExchange(
        CARD, ISIC2018Task3Release(CARD), TableForm("image", CODES, independent=True)
    )
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))
