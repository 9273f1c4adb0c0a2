"""object-CXR: foreign objects in chest radiographs.

Sources: the challenge's page for files and annotations; violet-42/CM-CGNS@4e75806 for boxes in place
of ellipses and polygons, dev.csv as the test set, and the mean average precision at IoU 0.40 to 0.75. Its
program leaves out images without predictions or without objects; here they count, by the rules of COCO.
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
from medbench.challenges.object_cxr.files import ObjectCXRRelease

CARD = Card(
    name="object_cxr",
    title="object-CXR",
    summary="detection of foreign objects in chest radiographs",
    demands_besides={"boxes": ("foreign object",)},
    metrics=(*(column.spec for column in COLUMNS), IMAGE_PRECISION),
    failure_rule=FAILURE_RULE,
    citation="JF Healthcare: object-CXR, automatic detection of foreign objects on chest X-rays, MIDL (2020)",
    bibtex="""@misc{jfhealthcare2020objectcxr,
  title = {object-{CXR}: Automatic detection of foreign objects on chest {X}-rays},
  author = {{JF Healthcare}},
  year = {2020},
  howpublished = {MIDL}
}""",
    license="CC BY-NC 4.0",
    homepage="https://jfhealthcare.github.io/object-CXR/",
)


def object_cxr() -> Challenge:
    """Foreign objects in chest radiographs."""
    exchange = ImageBoxExchange(CARD, ObjectCXRRelease(CARD))
    return Challenge(CARD, exchange.release, exchange, ImageBoxScorer(CARD, exchange))
