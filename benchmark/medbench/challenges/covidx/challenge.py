"""COVIDx: normal, pneumonia or COVID-19 in chest radiographs.

Source: lindawangg/COVID-Net, docs/COVIDx.md; its use beside pre-training from violet-42/CM-CGNS@4e75806,
whose program reads the text files of version 9A and reports the accuracy.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.covidx.files import CLASSES, COVIDxRelease
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.families.image_classes.scoring import (
    FAILURE_RULE,
    MARGIN,
    ImageClassScorer,
    class_columns,
    figure_column,
)
from medbench.challenges.families.image_classes.table import TableForm

FIGURES = (
    figure_column("accuracy", "accuracy", "accuracy.multiclass", "accuracy", headline=True),
    figure_column("balanced_accuracy", "balanced accuracy", "balanced_accuracy", "sensitivity"),
    figure_column("auc", "AUC (mean over classes)", "auc.macro", "auc"),
    *class_columns(CLASSES, "sensitivity", "specificity"),
)
CARD = Card(
    name="covidx",
    title="COVIDx",
    summary="normal, pneumonia or COVID-19 in chest radiographs",
    demands_besides={"image_classes": CLASSES},
    metrics=(*(figure.spec for figure in FIGURES), MARGIN),
    failure_rule=FAILURE_RULE,
    citation=(
        "Wang, Lin, Wong: COVID-Net: a tailored deep convolutional neural network design for detection of "
        "COVID-19 cases from chest X-ray images. Scientific Reports 10 (2020), doi 10.1038/s41598-020-76550-z"
    ),
    bibtex="""@article{wang2020covidnet,
  title = {{COVID-Net}: a tailored deep convolutional neural network design for detection of {COVID-19} cases
           from chest {X}-ray images},
  author = {Wang, Linda and Lin, Zhong Qiu and Wong, Alexander},
  journal = {Scientific Reports},
  volume = {10},
  pages = {19549},
  year = {2020},
  doi = {10.1038/s41598-020-76550-z}
}""",
    license="of the collections that it is made of; see the homepage",
    homepage="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
)


def covidx() -> Challenge:
    """Normal, pneumonia or COVID-19 in chest radiographs."""
    exchange = ImageClassExchange(CARD, COVIDxRelease(CARD), TableForm("image", CLASSES))
    return Challenge(CARD, exchange.release, exchange, ImageClassScorer(CARD, exchange, FIGURES))
