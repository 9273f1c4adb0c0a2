"""CheXpert: five findings in frontal chest radiographs, several of which an image may show.

Sources: Irvin et al., AAAI 2019: the five labels and the public validation set; violet-42/CM-CGNS@4e75806:
the treatment of uncertain labels and the mean area under the ROC curve.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.chexpert.files import LABELS, CheXpertRelease
from medbench.challenges.families.image_labels.exchange import ImageLabelExchange
from medbench.challenges.families.image_labels.scoring import FAILURE_RULE, ImageLabelScorer, auc_columns

CARD = Card(
    name="chexpert",
    title="CheXpert, five labels",
    summary="five findings in frontal chest radiographs",
    demands_besides={"image_labels": LABELS},
    metrics=auc_columns(LABELS),
    failure_rule=FAILURE_RULE,
    citation=(
        "Irvin et al.: CheXpert: a large chest radiograph dataset with uncertainty labels and expert "
        "comparison. AAAI (2019), arXiv 1901.07031"
    ),
    bibtex="""@inproceedings{irvin2019chexpert,
  title = {{CheXpert}: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison},
  author = {Irvin, Jeremy and Rajpurkar, Pranav and Ko, Michael and others},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year = {2019},
  eprint = {1901.07031},
  archivePrefix = {arXiv}
}""",
    license="Stanford University Dataset Research Use Agreement",
    homepage="https://stanfordmlgroup.github.io/competitions/chexpert/",
)


def chexpert() -> Challenge:
    """Five findings in frontal chest radiographs."""
    exchange = ImageLabelExchange(CARD, CheXpertRelease(CARD), "image")
    return Challenge(CARD, exchange.release, exchange, ImageLabelScorer(CARD, exchange))
