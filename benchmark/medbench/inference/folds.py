"""Cases of several parts of a split, each answered by the networks of its part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medbench.core.sample import Prediction
from medbench.inference.predictor import Predictor, summed_times


class FoldedPredictor:
    """Answers by the networks of the part that a case's id begins with.

    Several networks of a part give one row each, ``(networks, …)``.

    Args:
        predictors: part -> predictors of its networks.
    """

    def __init__(self, predictors: Mapping[str, Sequence[Predictor]]) -> None:
        self.predictors = predictors

    @property
    def time_s(self) -> Mapping[str, float]:
        """Seconds by phase, over all networks."""
        return summed_times(each for some in self.predictors.values() for each in some)

    def predict(self, sample: Any) -> Prediction:
        """The answer of the case's network, or one row a network.

        Raises:
            MedbenchError: as the networks' own predictors.
        """
        part = sample.case.id.partition("/")[0]
        some = self.predictors[part] if part in self.predictors else next(iter(self.predictors.values()))
        answers = [predictor.predict(sample) for predictor in some]
        if len(answers) == 1:
            return answers[0]
        return Prediction(
            {task: np.stack([answer[task] for answer in answers]) for task in answers[0].answers}
        )
