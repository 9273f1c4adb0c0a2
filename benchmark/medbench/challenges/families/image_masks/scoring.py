"""Scores of images with one mask each, at the images' size and at 256 × 256 as in the papers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.mask_sizes import check_mask_sizes, sized
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, ratio_column
from medbench.core.score import Score, Status
from medbench.io import raster
from medbench.metrics.checks.suspicion import flags

OWN_SIZE = "at the images' own size"
PAPERS = "of the papers: at 256×256, one added to IoU and Dice"
PAPERS_SIDE = 256
FAILURE_RULE = (
    "0 in every column (ours; the papers do not say). Where the reference itself cannot be read, "
    "the scores are undefined and enter no mean."
)

OWN_SIZE_COLUMNS = (
    ratio_column("iou", "mIoU", "iou", OWN_SIZE, headline=True),
    ratio_column("dice", "Dice", "dice", OWN_SIZE, headline=True),
    ratio_column("accuracy", "accuracy", "pixel_accuracy", OWN_SIZE),
    ratio_column("precision", "precision", "precision", OWN_SIZE),
    ratio_column("recall", "recall", "sensitivity", OWN_SIZE),
)
PAPER_COLUMNS = (
    ratio_column("iou_256", "mIoU", "iou.plus_one", PAPERS, headline=True),
    ratio_column("dice_256", "Dice", "dice.plus_one", PAPERS, headline=True),
    ratio_column("accuracy_256", "accuracy", "pixel_accuracy", PAPERS),
    ratio_column("precision_256", "precision", "precision.epsilon", PAPERS),
    ratio_column("recall_256", "recall", "sensitivity.epsilon", PAPERS),
)


class ImageMaskScorer(Scorer):
    """Scores masks image by image.

    Columns of the protocol :data:`PAPERS` score both masks at 256 × 256 (nearest neighbour), as the papers'
    programs do with the network's output; other columns score the files at their own size. Failed cases are
    scored by :data:`FAILURE_RULE`.
    """

    def __init__(self, card: Card, exchange: ImageMaskExchange) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one mask.

        Raises:
            MedbenchError: also ``data.size_mismatch``, naming whichever file differs from the image.
        """
        both = self.read_both(case, path)
        return CaseScores(self.score_arrays(*both), flags(*both))

    def read_both(self, case: Case, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Reference and prediction of one size.

        Raises:
            MedbenchError: as :meth:`score_file`.
        """
        reference = self.release.read_reference(case)

        def check(own: Sequence[int]) -> None:
            check_mask_sizes(
                (case.reference["labels"], reference.shape),
                (path, own),
                lambda: self.release.read_image(case.inputs["image"]).shape[:2],
            )

        read = partial(self.exchange.read_prediction, path, reference.shape)
        return reference, sized(read, path, reference.ndim, check)

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of one pair of masks.

        Args:
            reference: ``(height, width)``, 0 and 1.
            prediction: the same shape.
            spacing: not used: every column is a ratio.
        """
        from medbench.metrics.engine import evaluate_arrays

        both = (np.asarray(reference, np.uint8), np.asarray(prediction, np.uint8))
        small = tuple(raster.resize_labels(mask, PAPERS_SIDE, PAPERS_SIDE) for mask in both)
        scores: dict[str, Score] = {}
        for protocol in dict.fromkeys(spec.protocol for spec in self.card.metrics):
            columns = [spec for spec in self.card.metrics if spec.protocol == protocol]
            first, second = small if protocol == PAPERS else both
            values = evaluate_arrays(first, second, [spec.convention for spec in columns], {"mask": 1})[
                "mask"
            ]
            scores |= {spec.name: values[spec.convention] for spec in columns}
        return scores

    def checked(
        self, reference: Any, prediction: Any, spacing: Any
    ) -> tuple[Any, Any, tuple[float, ...] | None]:
        """Masks of 0 and 1 from those of 0 and any one other value, as files hold them.

        Raises:
            MedbenchError: as :meth:`medbench.challenges.scorer.Scorer.checked`.
        """
        from medbench.metrics.arrays import as_mask, same_shape

        if len(self.card.labels) == 2:
            first, second = same_shape(reference, prediction)
            reference = as_mask(first, None, "reference").view(np.uint8)
            prediction = as_mask(second, None, "prediction").view(np.uint8)
        return super().checked(reference, prediction, spacing)

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the card's ``failure_rule``."""
        try:
            self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in self.card.metrics), error.message)
        return CaseScores({spec.name: Score(0.0, status, reason) for spec in self.card.metrics})


class AgreeingMaskScorer(ImageMaskScorer):
    """As :class:`ImageMaskScorer`; two empty masks agree."""

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of one pair of masks, 1 where both are empty."""
        if not np.any(reference) and not np.any(prediction):
            return {spec.name: Score(1.0) for spec in self.card.metrics}
        return super().score_arrays(reference, prediction, spacing)
