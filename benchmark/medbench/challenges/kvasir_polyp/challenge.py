"""Kvasir-SEG's polyps as boxes: 1,000 colonoscopy images with the boxes of ``kavsir_bboxes.json``.

Source of the layout: datasets.simula.no/kvasir-seg. There is no official ranking of boxes; columns are those
of COCO.
"""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.image_boxes.exchange import ImageBoxExchange
from medbench.challenges.families.image_boxes.scoring import (
    COLUMNS,
    FAILURE_RULE,
    IMAGE_PRECISION,
    ImageBoxScorer,
)
from medbench.challenges.kvasir_polyp.files import KvasirPolypRelease

CARD = Card(
    name="kvasir_polyp",
    title="Kvasir-SEG, boxes",
    summary="detection of polyps in colonoscopy images",
    demands_besides={"boxes": ("polyp",)},
    metrics=(*(column.spec for column in COLUMNS), IMAGE_PRECISION),
    failure_rule=FAILURE_RULE,
    citation=(
        "Jha, Smedsrud, Riegler, Halvorsen, de Lange, Johansen, Johansen: Kvasir-SEG: A Segmented Polyp "
        "Dataset. MultiMedia Modeling 2020, doi 10.1007/978-3-030-37734-2_37"
    ),
    bibtex="""@inproceedings{jha2020kvasirseg,
  title = {{Kvasir-SEG}: A Segmented Polyp Dataset},
  author = {Jha, Debesh and Smedsrud, Pia H. and Riegler, Michael A. and Halvorsen, P{\\aa}l and
            de Lange, Thomas and Johansen, Dag and Johansen, H{\\aa}vard D.},
  booktitle = {MultiMedia Modeling},
  year = {2020},
  doi = {10.1007/978-3-030-37734-2_37}
}""",
    license="research and education only (terms of datasets.simula.no/kvasir-seg)",
    homepage="https://datasets.simula.no/kvasir-seg/",
)


def kvasir_polyp() -> Challenge:
    """Polyp detection in colonoscopy images."""
    exchange = ImageBoxExchange(CARD, KvasirPolypRelease(CARD))
    return Challenge(CARD, exchange.release, exchange, ImageBoxScorer(CARD, exchange))
