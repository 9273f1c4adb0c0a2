"""Answers of several predictors put together case by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.sample import AnySample, Prediction
from medbench.inference.predictor import Predictor, summed_times


@dataclass(frozen=True, slots=True)
class EnsembleSample:
    """A case as each of the networks sees it.

    Attributes:
        case: the case.
        samples: one a network, in their order.
        demands: names of the tasks to answer.
    """

    case: Case
    samples: Sequence[AnySample]
    demands: frozenset[str]


def majority(label_maps: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The class that most label maps give each element; of equally many votes the first map's counts.

    Where the first map's class is not among those with most votes, the smallest of them counts.

    >>> majority([np.array([1, 1, 2]), np.array([0, 1, 0]), np.array([0, 2, 1])])
    array([0, 1, 2])
    """
    votes = np.stack(label_maps)
    best = votes[0].copy()
    most = (votes == best).sum(axis=0)
    for label in np.unique(votes):
        count = (votes == label).sum(axis=0)
        best[count > most] = label
        np.maximum(most, count, out=most)
    return best


def mean(answers: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The mean of probabilities, scores or points."""
    average: npt.NDArray[Any] = np.mean(np.stack(answers), axis=0, dtype=np.float64).astype(answers[0].dtype)
    return average


RULES: Mapping[str, Callable[[Sequence[npt.NDArray[Any]]], npt.NDArray[Any]]] = {
    "label_map": majority,
    "image_classes": mean,
    "image_labels": mean,
    "frame_scores": mean,
    "landmarks": mean,
}
"""Task -> how answers to it are put together."""


class EnsemblePredictor:
    """A predictor of one answer from those of several.

    Args:
        predictors: in the order of the samples.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.predictors = predictors

    @property
    def time_s(self) -> Mapping[str, float]:
        """Seconds by phase, over all networks."""
        return summed_times(self.predictors)

    def predict(self, sample: Any) -> Prediction:
        """Votes on label maps; means of probabilities, scores and points.

        Raises:
            MedbenchError: as the networks' own predictors.
        """
        answers = [
            predictor.predict(own) for predictor, own in zip(self.predictors, sample.samples, strict=True)
        ]
        return Prediction(
            {task: RULES[task]([answer[task] for answer in answers]) for task in answers[0].answers}
        )
