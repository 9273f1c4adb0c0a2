"""ColonPath of MedFMC 2023: tumour or none in patches of colon slides, 10,009 public patches of 396 patients.

Sources: medfm2023.grand-challenge.org; Wang et al. 2023, Scientific Data, s41597-023-02460-0. The challenge
ranks by accuracy and AUC averaged over its three sets; here are those of this set alone.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.colonpath.files import ColonPathRelease
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.families.image_classes.scoring import (
    FAILURE_RULE,
    MARGIN,
    ImageClassScorer,
    figure_column,
)
from medbench.challenges.families.image_classes.table import TableForm

FIGURES = (
    figure_column("accuracy", "accuracy", "accuracy.multiclass", "accuracy", headline=True),
    figure_column("auc", "AUC tumour", "auc.one_vs_rest", "auc", 1, headline=True),
    figure_column("average_precision", "AP tumour", "average_precision.one_vs_rest", "average_precision", 1),
    figure_column("f1", "F1 tumour", "f1.one_vs_rest", "f1", 1),
    figure_column("sensitivity", "sensitivity", "sensitivity.one_vs_rest", "sensitivity", 1),
    figure_column("specificity", "specificity", "specificity.one_vs_rest", "specificity", 1),
)
CARD = Card(
    name="colonpath",
    title="MedFMC 2023 ColonPath",
    summary="tumour or none in patches of colon slides",
    demands_besides={"image_classes": ("no tumour", "tumour")},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=FAILURE_RULE,
    citation=(
        "Wang et al.: A real-world dataset and benchmark for foundation model adaptation in medical image "
        "classification. Scientific Data 10 (2023), doi 10.1038/s41597-023-02460-0"
    ),
    bibtex="""@article{wang2023medfmc,
  title = {A real-world dataset and benchmark for foundation model adaptation in medical image
           classification},
  author = {Wang, Dequan and Wang, Xiaosong and Wang, Lilong and others},
  journal = {Scientific Data},
  volume = {10},
  year = {2023},
  doi = {10.1038/s41597-023-02460-0}
}""",
    license="by the terms of medfm2023.grand-challenge.org",
    homepage="https://medfm2023.grand-challenge.org/",
)


def colonpath() -> Challenge:
    """Tumour or none in patches of colon slides."""
    exchange = ImageClassExchange(CARD, ColonPathRelease(CARD), TableForm("img_id", ("tumor",), ".png"))
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))
