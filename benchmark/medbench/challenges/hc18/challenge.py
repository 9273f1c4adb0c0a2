"""HC18: circumference of the fetal head in two-dimensional ultrasound, 999 training and 335 test images.

Sources: van den Heuvel et al. 2018, PLOS ONE 13:e0200412 (task, DF, ADF, DSC, HD); the release's file names
and tables from Zenodo 1327317 as its copies hold them.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.hc18.exchange import HC18Exchange
from medbench.challenges.hc18.files import HC18Release
from medbench.challenges.hc18.scoring import FAILURE_RULE, METRICS, HC18Scorer

CARD = Card(
    name="hc18",
    title="HC18",
    summary="segmentation and circumference of the fetal head in ultrasound",
    labels={0: "background", 1: "fetal head"},
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    citation=(
        "van den Heuvel, de Bruijn, de Korte, van Ginneken: Automated measurement of fetal head "
        "circumference using 2D ultrasound images. PLOS ONE 13:e0200412 (2018)"
    ),
    bibtex="""@article{vandenheuvel2018automated,
  title = {Automated measurement of fetal head circumference using {2D} ultrasound images},
  author = {van den Heuvel, Thomas L. A. and de Bruijn, Dagmar and de Korte, Chris L. and van Ginneken, Bram},
  journal = {PLOS ONE},
  volume = {13},
  number = {8},
  pages = {e0200412},
  year = {2018},
  doi = {10.1371/journal.pone.0200412}
}""",
    license="CC BY 4.0, as other projects state it",
    homepage="https://hc18.grand-challenge.org/",
    published_file=Path(__file__).parent / "published.toml",
)


def hc18() -> Challenge:
    """Segmentation of the fetal head and its circumference."""
    release = HC18Release(CARD)
    exchange = HC18Exchange(CARD, release)
    return Challenge(CARD, release, exchange, HC18Scorer(CARD, exchange, release))
