"""Figures of classified images against scikit-learn, with and without weights."""

import warnings

import numpy as np
import pytest
from sklearn import metrics
from sklearn.preprocessing import label_binarize

import medbench
from medbench.core.errors import MedbenchError
from medbench.metrics.tasks.image_classes import BY_CLASS, Answers, class_metric, figure, margin


def random_set(seed):
    """Classes and confidences with ties; every class occurs."""
    generator = np.random.default_rng(seed)
    classes, images = int(generator.integers(3, 8)), int(generator.integers(20, 90))
    reference = np.concatenate([np.arange(classes), generator.integers(0, classes, images)])
    logits = np.eye(classes)[reference] + generator.normal(0, 1.2, (len(reference), classes))
    confidences = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if seed % 2:
        confidences = np.round(confidences * 8 + 1)
        confidences /= confidences.sum(axis=1, keepdims=True)
    return reference, confidences


def expected(reference, confidences):
    classes = range(confidences.shape[1])
    called = confidences.argmax(axis=1)
    truth = label_binarize(reference, classes=list(classes))
    average = {"average": "macro", "zero_division": 0}
    values = {
        ("accuracy", None): metrics.accuracy_score(reference, called),
        ("sensitivity", None): metrics.balanced_accuracy_score(reference, called),
        ("precision", None): metrics.precision_score(reference, called, **average),
        ("recall", None): metrics.recall_score(reference, called, **average),
        ("f1", None): metrics.f1_score(reference, called, **average),
        ("auc", None): metrics.roc_auc_score(reference, confidences, multi_class="ovr", average="macro"),
        ("average_precision", None): metrics.average_precision_score(truth, confidences, average="macro"),
    }
    for k in classes:
        own, hit = reference == k, called == k
        values |= {
            ("sensitivity", k): metrics.recall_score(own, hit),
            ("specificity", k): metrics.recall_score(~own, ~hit),
            ("precision", k): metrics.precision_score(own, hit, zero_division=0),
            ("f1", k): metrics.f1_score(own, hit, zero_division=0),
            ("auc", k): metrics.roc_auc_score(own, confidences[:, k]),
            ("average_precision", k): metrics.average_precision_score(own, confidences[:, k]),
        }
    return values


@pytest.mark.parametrize(
    "start", [0, *(pytest.param(start, marks=pytest.mark.exhaustive) for start in range(25, 200, 25))]
)
def test_every_figure_equals_scikit_learn(start):
    for seed in range(start, start + 25):
        reference, confidences = random_set(seed)
        for (value, of), due in expected(reference, confidences).items():
            assert class_metric(reference, confidences, value=value, of=of).value == pytest.approx(
                due, abs=1e-12
            )


@pytest.mark.parametrize("value", ["accuracy", *BY_CLASS])
def test_weights_are_how_often_an_image_is_drawn(value):
    reference, confidences = random_set(3)
    weights = np.random.default_rng(1).multinomial(
        len(reference), np.full(len(reference), 1 / len(reference)), 6
    )
    drawn = [np.repeat(np.arange(len(reference)), row) for row in weights]
    answers = Answers.of(reference, confidences)
    for of in (None, 0):
        if (value, of) == ("accuracy", 0):
            continue
        values = figure(answers, value, of, weights.astype(float))
        for one, chosen in zip(values, drawn, strict=True):
            due = class_metric(reference[chosen], confidences[chosen], value=value, of=of).value
            assert one == pytest.approx(np.nan if due is None else due, abs=1e-12, nan_ok=True)


def test_classes_that_are_absent():
    reference, confidences = (
        np.array([0, 0, 1]),
        np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        due = metrics.balanced_accuracy_score(reference, confidences.argmax(axis=1))
    assert class_metric(reference, confidences, value="sensitivity").value == pytest.approx(due)
    called = confidences.argmax(axis=1)
    for value, function in (("precision", metrics.precision_score), ("f1", metrics.f1_score)):
        due = function(reference, called, average="macro", zero_division=0)
        assert class_metric(reference, confidences, value=value).value == pytest.approx(due)
    for value in ("sensitivity", "auc", "average_precision"):
        score = class_metric(reference, confidences, value=value, of=2)
        assert score.status == "undefined"
        assert score.reason


def test_the_margin_is_negative_where_the_class_is_wrong():
    assert margin([0], [[0.1, 0.7, 0.2]]).value == pytest.approx(-0.6)
    assert margin([1], [[0.1, 0.7, 0.2]]).value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("reference", "prediction", "code"),
    [
        ([0, 1], [[0.5, 0.5]], "metric.shape"),
        ([], np.zeros((0, 2)), "metric.shape"),
        ([0, 2], [[1, 0], [0, 1]], "metric.labels"),
        ([0, 1], [[np.nan, 0], [0, 1]], "metric.not_finite"),
    ],
)
def test_bad_arrays_are_refused(reference, prediction, code):
    with pytest.raises(MedbenchError) as caught:
        class_metric(reference, prediction, value="accuracy")
    assert caught.value.code == code


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(MedbenchError, match="no class 5"):
        medbench.score("auc.one_vs_rest", [0, 1], [[1, 0], [0, 1]], of=5)
