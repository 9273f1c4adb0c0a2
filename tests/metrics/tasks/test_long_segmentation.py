"""Kernel temporal segmentation of long videos is that of short ones."""

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.metrics.tasks import long_segmentation
from medbench.metrics.tasks.long_segmentation import segment_features
from medbench.metrics.tasks.temporal_segmentation import kernel_temporal_segmentation


def scenes(seed, n, noise, length):
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < n:
        size = int(rng.integers(length // 3, 2 * length))
        parts.append(np.maximum(rng.normal(size=24), 0) + rng.normal(0, noise, (size, 24)))
    features = np.concatenate(parts)[:n]
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize("case", golden("vsumm_kts.json")["cases"], ids=lambda c: c["id"])
def test_changes_are_the_authors(case):
    with golden("vsumm_kts.npz") as arrays:
        assert segment_features(arrays[f"k{case['id']}_X"]).tolist() == case["auto"]


@pytest.mark.parametrize("noise", [0.02, 0.15, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_changes_are_those_of_the_whole_kernel(noise, seed, monkeypatch):
    monkeypatch.setattr(long_segmentation, "_COLUMNS", 16)
    monkeypatch.setattr(long_segmentation, "_COARSE_FRAMES", 40)
    features = scenes(seed, 150 + 40 * seed, noise, 20)
    for penalty in (0.3, 1.0, 2.0):
        expected = kernel_temporal_segmentation(features @ features.T, penalty=penalty)
        assert segment_features(features, penalty=penalty).tolist() == expected.tolist()


def test_few_changes_at_most():
    features = scenes(0, 120, 0.1, 15)
    expected = kernel_temporal_segmentation(features @ features.T, 3)
    assert segment_features(features, 3).tolist() == expected.tolist()
    assert segment_features(features[:1]).tolist() == []


@pytest.mark.parametrize("features", [np.zeros(4), np.zeros((0, 3)), np.full((4, 3), np.nan)])
def test_what_are_no_features_is_refused(features):
    with pytest.raises(MedbenchError):
        segment_features(features)


def test_scores_lengths_and_transposed_annotators_are_no_summaries():
    rng = np.random.default_rng(0)
    users = (rng.random((3, 150)) > 0.8).astype(int)
    summary = users[0].astype(float)
    assert medbench.score("fmeasure.max", users, summary).value == 1
    for reference, prediction, code in (
        (users, rng.random(150), "summary.not_binary"),
        (users, np.where(summary > 0, np.nan, 0), "summary.not_binary"),
        (users, summary * 255, "summary.not_binary"),
        (users, -summary, "summary.not_binary"),
        (users, summary.astype(int).astype(str), "metric.array"),
        (users, summary[::15], "summary.length"),
        (users.T, summary, "summary.length"),
    ):
        with pytest.raises(MedbenchError) as caught:
            medbench.score("fmeasure.max", reference, prediction)
        assert caught.value.code == code
    users = users.astype(float)
    users[1, 7] = np.nan
    for name in ("fmeasure.mean", "kendall"):
        with pytest.raises(MedbenchError, match="Annotator 2 of 3"):
            medbench.score(name, users, summary)
