"""Figures of a pre-trained network on pairs that are held out: retrieval of reports, and a linear probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from medbench.core.sample import TrainingPair
from medbench.metrics.tasks.classification import auc
from medbench.models.cm_cgns.pretraining_network import PretrainingNetwork
from medbench.statistics.intervals import group_interval
from medbench.training.pair_data import PairImages, collate

Floats = npt.NDArray[np.float64]
CANDIDATES = 16
DECAY = 1e-2
ITERATIONS = 100


class Embedded(NamedTuple):
    """Vectors of pairs.

    Attributes:
        images: ``(N, width)``, unit length.
        reports: ``(N, width)``, unit length.
        features: ``(N, channels)``, the image encoder's global features.
    """

    images: Floats
    reports: Floats
    features: Floats


def embed(
    network: PretrainingNetwork, dataset: PairImages, indices: Sequence[int], batch: int = 32
) -> Embedded:
    """Vectors of the pairs with these indices, without augmentation.

    Args:
        network: the network; it is left in evaluation mode.
        dataset: all pairs.
        indices: of the pairs.
        batch: pairs at once.
    """
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(indices), batch):
            pairs = collate(dataset, indices[start : start + batch])
            features = network.image_encoder(pairs.images)[0]
            images = functional.normalize(network.global_image_projection(features), dim=-1)
            parts.append((images, network.encode_reports(pairs), features))
    return Embedded(*(torch.cat(part).double().numpy() for part in zip(*parts, strict=True)))


def figure(
    statistic: Callable[[Floats], Floats], owner: npt.NDArray[np.int64], bounds: tuple[float, float]
) -> dict[str, Any]:
    """A statistic of case weights with its 95 % interval over patients."""
    value = float(statistic(np.ones((1, len(owner))))[0])
    interval = group_interval(statistic, owner, value, bounds)
    return {
        "value": value,
        "low": interval.low,
        "high": interval.high,
        "method": interval.method,
        "cases": len(owner),
    }


def retrieval(vectors: Embedded, owner: npt.NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Share of the images whose own report is the most alike of 16, drawn with the seed and fixed.

    An image whose own report ties with another's is no hit.

    Args:
        vectors: of at least two pairs.
        owner: ``(N,)`` patient of each pair.
        seed: of the draw of the groups of 16.
    """
    order = np.random.default_rng([seed, CANDIDATES]).permutation(len(owner))
    size = min(CANDIDATES, len(owner))
    images = order[: len(owner) // size * size]
    hits = np.zeros(len(owner))
    for group in images.reshape(-1, size):
        likeness = vectors.images[group] @ vectors.reports[group].T
        others = np.where(np.eye(size, dtype=bool), -np.inf, likeness).max(axis=1)
        hits[group] = likeness.diagonal() > others + 1e-9
    _, owners = np.unique(owner[images], return_inverse=True)
    hit = hits[images]
    share = figure(lambda weights: weights @ hit / weights.sum(axis=1), owners, (0.0, 1.0))
    return {**share, "candidates": size, "chance": 1 / size}


def probe(train: Floats, test: Floats, labels: Floats) -> Floats:
    """Logits ``(test, labels)`` of logistic regressions on standardised features.

    Args:
        train: ``(N, channels)``.
        test: ``(M, channels)``.
        labels: ``(N, labels)``, 0 or 1; what is not known is NaN and left out.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread < 1e-9] = 1.0
    x, z = (torch.from_numpy((features - mean) / spread) for features in (train, test))
    y = torch.from_numpy(labels)
    has_label = ~y.isnan()
    weight = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(y.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        entropy = functional.binary_cross_entropy_with_logits(
            x @ weight + bias, y.nan_to_num(0.0), weight=has_label.double(), reduction="sum"
        )
        value = entropy / has_label.sum() + DECAY * weight.square().sum() / len(x)
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return np.asarray((z @ weight + bias).numpy())


def label_table(pairs: Sequence[TrainingPair], indices: Sequence[int], names: Sequence[str]) -> Floats:
    """Findings ``(N, names)`` of pairs as 0 and 1, NaN where the release is uncertain."""
    cells = [[pairs[index].findings.get(name) for name in names] for index in indices]
    return np.array([[np.nan if cell is None else float(cell) for cell in row] for row in cells], float)


def judge(
    dataset: PairImages,
    training: Sequence[int],
    held_out: Sequence[int],
    seed: int,
    network: PretrainingNetwork,
    fresh: PretrainingNetwork,
) -> Mapping[str, Any]:
    """Figures of a trained network beside a fresh one, on pairs that no training saw.

    Args:
        dataset: all pairs.
        training: indices that the probes learn from.
        held_out: indices that are judged.
        seed: of the groups of the retrieval.
        network: the trained network.
        fresh: the same network with its first weights.

    Returns:
        ``retrieval``, and where the release has a table of findings ``linear_probe``, ``random_probe`` and
        ``probe_difference``, mean areas under the ROC curve; each with its 95 % interval over patients.
    """
    pairs = dataset.pairs
    patients = [pairs[index].group for index in held_out]
    owner = np.unique(patients, return_inverse=True)[1].astype(np.int64)
    own, own_training = (embed(network, dataset, part) for part in (held_out, training))
    figures: dict[str, Any] = {"retrieval": retrieval(own, owner, seed)}
    names = sorted({name for index in training for name in pairs[index].findings})
    training_labels, due = (label_table(pairs, part, names) for part in (training, held_out))
    columns = [
        k
        for k in range(len(names))
        if len({*training_labels[~np.isnan(training_labels[:, k]), k]})
        == 2
        == len({*due[~np.isnan(due[:, k]), k]})
    ]
    if not columns:
        return figures
    other, other_training = (embed(fresh, dataset, part) for part in (held_out, training))
    logits = probe(own_training.features, own.features, training_labels[:, columns])
    baseline = probe(other_training.features, other.features, training_labels[:, columns])
    due = due[:, columns]

    def mean_auc(values: Floats) -> Callable[[Floats], Floats]:
        return lambda weights: np.mean(
            [_auc(due[:, k], values[:, k], weights) for k in range(len(columns))], axis=0
        )

    first, second = mean_auc(logits), mean_auc(baseline)
    figures["findings"] = [names[k] for k in columns]
    figures["linear_probe"] = figure(first, owner, (0.0, 1.0))
    figures["random_probe"] = figure(second, owner, (0.0, 1.0))
    figures["probe_difference"] = figure(lambda weights: first(weights) - second(weights), owner, (-1.0, 1.0))
    return figures


def _auc(due: Floats, values: Floats, weights: Floats) -> Floats:
    has_label = ~np.isnan(due)
    return np.asarray(auc(due[has_label].astype(int), values[has_label], weights=weights[:, has_label]))
