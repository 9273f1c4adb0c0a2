"""Brain tumours in MRI: glioma, meningioma, pituitary tumour or none in single slices.

Sources: the public copies of figshare 1512427, SARTAJ and Br35H under one roof. MedFormer (arXiv 2507.02488)
names four classes and no copy; its averages over classes are not stated, those here are unweighted.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.brain_tumor_mri.files import CLASSES, BrainTumorRelease
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

NAMES = tuple(CLASSES)
FIGURES = (
    figure_column("accuracy", "accuracy", "accuracy.multiclass", "accuracy", headline=True),
    figure_column("precision", "precision (mean over classes)", "precision.macro", "precision"),
    figure_column("recall", "recall (mean over classes)", "recall.macro", "recall"),
    figure_column("f1", "F1 (mean over classes)", "f1.macro", "f1", headline=True),
    figure_column("auc", "AUC (mean over classes)", "auc.macro", "auc", headline=True),
    *class_columns(NAMES, "sensitivity", "specificity"),
)
CARD = Card(
    name="brain_tumor_mri",
    title="Brain tumours in MRI",
    summary="glioma, meningioma, pituitary tumour or none in slices of brain MRI",
    demands_besides={"image_classes": NAMES},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=FAILURE_RULE,
    citation=(
        "Brain Tumor MRI Dataset, of: Cheng: brain tumor dataset, figshare 1512427 (2017); Bhuvaji et al.: "
        "Brain Tumor Classification (MRI), SARTAJ (2020); Hamada: Br35H (2020)"
    ),
    bibtex="""@misc{cheng2017brain,
  title = {brain tumor dataset},
  author = {Cheng, Jun},
  year = {2017},
  howpublished = {figshare},
  doi = {10.6084/m9.figshare.1512427}
}""",
    license="CC0, as stated with the public copies",
    homepage="https://figshare.com/articles/dataset/brain_tumor_dataset/1512427",
)


def brain_tumor_mri() -> Challenge:
    """Four classes of slices of brain MRI."""
    exchange = ImageClassExchange(CARD, BrainTumorRelease(CARD), TableForm("image", NAMES))
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))
