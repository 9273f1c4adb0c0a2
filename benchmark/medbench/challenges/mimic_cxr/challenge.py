"""MIMIC-CXR-JPG: which finding a frontal chest radiograph with exactly one shows.

A protocol of medbench's own on the release's labels (CheXpert's labeller on the reports): organisers have
none. It serves zero-shot classification by prompts and fine-tuning beside the pre-training on the same
release.
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
from medbench.challenges.mimic_cxr.files import CLASSES, MimicRelease

FIGURES = (
    figure_column("auc", "AUC (mean over classes)", "auc.macro", "auc", headline=True),
    figure_column("accuracy", "accuracy", "accuracy.multiclass", "accuracy", headline=True),
    figure_column("recall", "recall (mean over classes)", "recall.macro", "recall"),
    figure_column("f1", "F1 (mean over classes)", "f1.macro", "f1"),
    *class_columns(CLASSES, "sensitivity", "specificity"),
)
CARD = Card(
    name="mimic_cxr",
    title="MIMIC-CXR-JPG, single findings",
    summary="one of five findings or none in frontal chest radiographs, by the release's labels",
    demands_besides={"image_classes": CLASSES},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=FAILURE_RULE,
    citation=(
        "Johnson et al.: MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs, "
        "arXiv 1901.07042 (2019)"
    ),
    bibtex="""@misc{johnson2019mimic,
  title = {{MIMIC-CXR-JPG}, a large publicly available database of labeled chest radiographs},
  author = {Johnson, Alistair E. W. and Pollard, Tom J. and Greenbaum, Nathaniel R. and others},
  year = {2019},
  eprint = {1901.07042},
  archivePrefix = {arXiv}
}""",
    license="PhysioNet Credentialed Health Data License 1.5.0",
    homepage="https://physionet.org/content/mimic-cxr-jpg/2.0.0/",
)


def mimic_cxr() -> Challenge:
    """Single findings of frontal chest radiographs."""
    exchange = ImageClassExchange(CARD, MimicRelease(CARD), TableForm("image", CLASSES))
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))
