"""Frame classification against the organisers' numbers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.metrics.tasks import classification

GOLDEN = golden("iugc_metrics.json")["classification"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["id"])
def test_official_values(case):
    reference, prediction = np.array(case["gt"]), np.array(case["pred"])
    scores = classification.classification_scores(reference, prediction)
    for name, expected in case["metrics"].items():
        if expected == "nan":
            assert scores[name].value is None
            assert scores[name].status == "undefined"
        else:
            assert scores[name].value == pytest.approx(expected, abs=1e-9)
    assert set(np.unique(reference)) <= {0, 1}


def random_case(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 90))
    reference = rng.integers(0, 2, n)
    reference[:2] = 0, 1
    scores = rng.random((n, 2)).round(int(rng.integers(1, 6)))
    return rng, reference, scores


@pytest.mark.parametrize("seed", range(25))
def test_equals_sklearn_with_and_without_weights(seed):
    sk = pytest.importorskip("sklearn.metrics")
    rng, reference, scores = random_case(seed)
    labels = scores.argmax(axis=1)
    weights = rng.multinomial(len(reference), np.full(len(reference), 1 / len(reference)), size=(3, 2))
    weights[..., 0] += 1
    weights[..., 1] += 1
    rank = scores[:, 1]
    oracles = {
        "accuracy": lambda w: sk.accuracy_score(reference, labels, sample_weight=w),
        "f1": lambda w: sk.f1_score(reference, labels, sample_weight=w, zero_division=0),
        "mcc": lambda w: sk.matthews_corrcoef(reference, labels, sample_weight=w),
        "auc": lambda w: sk.roc_auc_score(reference, rank, sample_weight=w),
        "average_precision": lambda w: sk.average_precision_score(reference, rank, sample_weight=w),
    }
    for name, oracle in oracles.items():
        ours = getattr(classification, name)
        assert ours(reference, scores).value == pytest.approx(oracle(None), abs=1e-9), name
        resampled = ours(reference, scores, weights=weights)
        assert resampled.shape == (3, 2)
        expected = [[oracle(weights[i, j]) for j in range(2)] for i in range(3)]
        assert resampled == pytest.approx(np.array(expected), abs=1e-9), name


def test_a_resample_is_the_repeated_frames():
    rng, reference, scores = random_case(99)
    drawn = np.concatenate([[0, 1], rng.integers(0, len(reference), 40)])
    weights = np.bincount(drawn, minlength=len(reference))[None]
    for name in ("accuracy", "f1", "mcc", "auc", "average_precision"):
        ours = getattr(classification, name)
        assert ours(reference, scores, weights=weights)[0] == pytest.approx(
            ours(reference[drawn], scores[drawn]).value, abs=1e-12
        )


def test_undefined_resamples_are_nan_and_chunks_do_not_change_values(monkeypatch):
    reference, scores = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.6])
    weights = np.array([[1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    whole = classification.auc(reference, scores, weights=weights)
    assert np.isnan(whole[[0, 2]]).all()
    assert whole[1] == classification.auc(reference, scores).value
    assert np.isnan(classification.accuracy(reference, scores > 0.5, weights=weights)[2])
    monkeypatch.setattr(classification, "_CHUNK_ELEMENTS", 4)
    assert np.array_equal(classification.auc(reference, scores, weights=weights), whole, equal_nan=True)


def test_f1_of_a_class_that_is_neither_there_nor_predicted_is_0_as_in_the_official_program():
    score = classification.f1([0, 0, 0], [0, 0, 0])
    assert (score.value, score.status) == (0.0, "ok")


def test_one_class_reference():
    scores = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert classification.auc([1, 1], scores).status == "undefined"
    assert classification.mcc([1, 1], scores).value == 0
    assert classification.average_precision([0, 0], scores).status == "undefined"
    assert classification.average_precision([1, 1], scores).value == 1


@pytest.mark.parametrize(
    ("reference", "prediction", "weights", "code"),
    [
        ([0, 1], [0.1, 0.2, 0.3], None, "metric.shape"),
        ([0, 2], [0, 1], None, "metric.labels"),
        ([0, 1], [0.3, 0.6], None, "metric.labels"),
        ([], [], None, "metric.shape"),
        ([0, 1], [0, np.nan], None, "metric.not_finite"),
        ([0, 1], [0, 1], [[1, -1]], "metric.weights"),
        ([0, 1], [0, 1], [1, 1, 1], "metric.shape"),
    ],
)
def test_errors(reference, prediction, weights, code):
    with pytest.raises(MedbenchError) as raised:
        classification.accuracy(reference, prediction, weights=weights)
    assert raised.value.code == code
