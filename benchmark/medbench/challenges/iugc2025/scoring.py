"""Scores of IUGC 2025: distances of three landmarks and the error of the angle of progression from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from medbench.challenges.card import Card
from medbench.challenges.iugc2025.exchange import IUGC2025Exchange
from medbench.challenges.iugc2025.table import POINTS
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.score import Score, Status
from medbench.metrics.tasks.landmarks import DEGENERATE_DEGREES, angle_error, radial_error

ALL, ANGLE = "mre_all", "aop_error"
METRICS = (
    MetricSpec(ALL, "MRE", "px", "lower", "radial_error", headline=True),
    MetricSpec(ANGLE, "ΔAoP", "°", "lower", "aop.points", (0.0, 180.0), headline=True),
    *(
        MetricSpec(f"mre_{name.lower()}", f"MRE {name}", "px", "lower", "radial_error.point")
        for name in POINTS
    ),
)
FAILURE_RULE = (
    "medbench-1 (the organisers' rule is not public): every landmark of a failed or missing image is as far "
    "off as the image's diagonal is long, and its angle is off by 180°. A prediction two of whose points are "
    "equal has its distances, and an angle that is off by 180°. An image whose reference cannot be read has "
    "no score."
)


class IUGC2025Scorer(Scorer):
    """Scores three points image by image; means over images are the table's numbers."""

    def __init__(self, card: Card, exchange: IUGC2025Exchange) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one image.

        Raises:
            MedbenchError: naming the file of the reference or of the prediction.
        """
        reference = self.release.read_reference(case)
        return CaseScores(self.score_arrays(reference, self.exchange.read_prediction(case, path)))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of three points.

        Args:
            reference: PS1, PS2, FH1, ``(3, 2)``, x and y in pixels.
            prediction: the same.
            spacing: not used: the organisers measure in pixels.
        """
        points = {
            f"mre_{name.lower()}": radial_error(reference, prediction, of) for of, name in enumerate(POINTS)
        }
        return {
            ALL: radial_error(reference, prediction),
            ANGLE: angle_error(reference, prediction),
            **points,
        }

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            self.release.read_reference(case)
            diagonal = math.hypot(*self.release.read_image(case.inputs["image"]).shape[:2])
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in METRICS), error.message)
        worst = {spec.name: DEGENERATE_DEGREES if spec.name == ANGLE else diagonal for spec in METRICS}
        return CaseScores({name: Score(value, status, reason) for name, value in worst.items()})
