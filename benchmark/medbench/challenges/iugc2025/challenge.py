"""IUGC 2025: three landmarks in intrapartum ultrasound and the angle of progression from them.

Sources: Codabench competition 7105, its starting kit 0oTyTo0/IUGC2025@bc8fce2 and the benchmark's paper
(openreview hj7hmvKc2r, table 2): the mean radial error in pixels of each landmark and of all three, and the
mean absolute error of the angle in degrees. PS1 is the inferior end of the pubic symphysis, PS2 its other
end, FH1 the place where the tangent from PS1 touches the fetal head; the angle is that at PS1 between PS2 and
FH1.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.iugc2025.exchange import IUGC2025Exchange
from medbench.challenges.iugc2025.files import IUGC2025Release
from medbench.challenges.iugc2025.scoring import FAILURE_RULE, METRICS, IUGC2025Scorer
from medbench.challenges.iugc2025.table import POINTS

CARD = Card(
    name="iugc2025",
    title="IUGC 2025",
    summary="three landmarks in intrapartum ultrasound and the angle of progression from them",
    demands_besides={"landmarks": POINTS},
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    citation="Intrapartum Ultrasound Grand Challenge 2025, Zenodo 17355570; Codabench competition 7105",
    license="CC BY-NC 4.0 (as the copy on Kaggle states)",
    homepage="https://www.codabench.org/competitions/7105/",
    published_file=Path(__file__).parent / "published.toml",
)


def iugc2025() -> Challenge:
    """Three landmarks in intrapartum ultrasound and the angle of progression from them."""
    release = IUGC2025Release(CARD)
    exchange = IUGC2025Exchange(CARD, release)
    return Challenge(CARD, release, exchange, IUGC2025Scorer(CARD, exchange))
