"""The steps from scores to summaries, against the authors' programs and real annotations."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.metrics.tasks.shots import make_summary, select_shots, shot_scores, spread_scores
from medbench.metrics.tasks.summaries import f_measure, f_measures, rank_correlation
from medbench.metrics.tasks.temporal_segmentation import (
    best_segmentations,
    kernel_temporal_segmentation,
    segment_scatter,
    shots_between,
)

EVALUATION, ARRAYS = golden("vsumm_eval")
SEGMENTATION, SEGMENTATION_ARRAYS = golden("vsumm_kts")
ANCHORS = golden("vsumm_real_anchors.json")


@pytest.mark.parametrize("case", EVALUATION["cases"], ids=lambda case: f"{case['id']}-{case['kind']}")
def test_summaries_and_f_measures_are_the_authors(case):
    def stored(name):
        return ARRAYS[f"c{case['id']}_{name}"]

    n_frames = case["n_frames"]
    every = spread_scores(stored("pred"), stored("picks"), n_frames)
    for arithmetic, suffix in (("float32", ""), ("float64", "_float64_product")):
        values = shot_scores(every, stored("cps"), arithmetic=arithmetic)
        assert values.tolist() == case[f"int_scores{suffix}"]
        assert select_shots(values, stored("nfps"), case["capacity"]).tolist() == case[f"packed{suffix}"]
    summary = make_summary(
        stored("pred"), stored("picks"), n_frames, stored("cps"), stored("nfps"), arithmetic="float32"
    )
    assert summary.sum() == case["summary_len"]
    assert np.array_equal(summary, np.unpackbits(stored("summary"))[:n_frames])
    assert summary[::15].sum() == case["downsampled_sum"]
    users = np.unpackbits(stored("users"), axis=1)[:, :n_frames]
    assert f_measures(users, summary) == pytest.approx(stored("f_each"), abs=1e-12)
    assert f_measure(users, summary, over="max") == pytest.approx(case["f_max"], abs=1e-12)
    assert f_measure(users, summary, over="mean") == pytest.approx(case["f_avg"], abs=1e-12)


def test_the_products_differ_somewhere():
    assert any(case["int_scores"] != case["int_scores_float64_product"] for case in EVALUATION["cases"])


def test_knapsacks_are_solved_as_or_tools_does():
    cases = EVALUATION["knapsack"]
    assert len(cases) == 60
    for case in cases:
        assert select_shots(case["values"], case["weights"], case["capacity"]).tolist() == case["packed"]


def test_no_choice_of_shots_is_worth_more():
    rng = np.random.default_rng(0)
    for _ in range(40):
        values, weights = rng.integers(0, 9, 9), rng.integers(1, 6, 9)
        capacity = int(rng.integers(1, 20))
        chosen = select_shots(values, weights, capacity)
        assert weights[chosen].sum() <= capacity
        best = max(
            values[list(some)].sum()
            for count in range(10)
            for some in itertools.combinations(range(9), count)
            if weights[list(some)].sum() <= capacity
        )
        assert values[chosen].sum() == best


def test_frames_before_the_first_pick_have_no_score():
    assert spread_scores([2, 1], [3, 4], 6).tolist() == [0, 0, 0, 2, 1, 1]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: spread_scores([1.0, 2.0], [0], 30), "metric.shape"),
        (lambda: spread_scores([1.0, 2.0], [0, 30], 30), "summary.picks"),
        (lambda: spread_scores([1.0, 2.0], [5, 5], 30), "summary.picks"),
        (lambda: shot_scores(np.ones(9), [0, 8]), "metric.shape"),
        (lambda: shot_scores(np.ones(9), [[0, 4], [5, 9]]), "summary.shots"),
        (lambda: shot_scores(np.ones(9), [[4, 3]]), "summary.shots"),
        (lambda: select_shots([1], [1, 2], 3), "metric.shape"),
        (lambda: select_shots([0.5], [1], 3), "summary.knapsack"),
        (lambda: select_shots([-1], [1], 3), "summary.knapsack"),
        (lambda: best_segmentations(np.ones((3, 4)), 1), "metric.shape"),
        (lambda: best_segmentations(np.eye(4), 4), "kts.lengths"),
        (lambda: best_segmentations(np.eye(9), 1, max_length=4), "kts.lengths"),
    ],
)
def test_what_does_not_fit_is_refused(call, code):
    with pytest.raises(MedbenchError) as failure:
        call()
    assert failure.value.code == code


@pytest.mark.parametrize("case", SEGMENTATION["cases"], ids=lambda case: str(case["id"]))
def test_segmentations_are_the_authors(case):
    def stored(name):
        return SEGMENTATION_ARRAYS[f"k{case['id']}_{name}"]

    kernel = stored("X") @ stored("X").T
    if case["id"] == 0:
        assert segment_scatter(kernel) == pytest.approx(np.triu(stored("scatter")), abs=1e-10)
    every = best_segmentations(kernel, case["n"] - 1)
    assert every.scatter == pytest.approx(stored("all_scores"), abs=1e-10)
    assert kernel_temporal_segmentation(kernel).tolist() == case["auto"] == stored("auto").tolist()
    five = best_segmentations(kernel, 5)
    assert five.changes(5).tolist() == stored("fixed5").tolist()
    assert five.scatter == pytest.approx(stored("fixed5_scores"), abs=1e-10)
    limited = best_segmentations(kernel, 6, min_length=case["lmin"], max_length=case["lmax"])
    assert limited.changes(6).tolist() == stored("lmin4").tolist()
    assert np.isinf(limited.scatter).any()
    assert limited.scatter == pytest.approx(stored("lmin4_scores"), abs=1e-10)


@pytest.mark.parametrize("case", SEGMENTATION["cases"], ids=lambda case: str(case["id"]))
def test_shots_of_a_video_are_the_authors(case):
    features = np.abs(SEGMENTATION_ARRAYS[f"k{case['id']}_X"]).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    changes = kernel_temporal_segmentation(features @ features.T)
    shots = shots_between(changes, 15 * case["n"] - 1)
    assert shots.tolist() == SEGMENTATION_ARRAYS[f"k{case['id']}_shots"].tolist()


def test_segmentations_have_the_least_scatter_of_all():
    rng = np.random.default_rng(3)
    features = rng.random((9, 4))
    kernel = features @ features.T
    found = best_segmentations(kernel, 3, min_length=2)
    scatter = segment_scatter(kernel)
    for count in range(4):
        totals = {
            places: sum(scatter[a, b - 1] for a, b in itertools.pairwise((0, *places, 9)))
            for places in itertools.combinations(range(1, 9), count)
            if min(b - a for a, b in itertools.pairwise((0, *places, 9))) >= 2
        }
        best = min(totals, key=totals.__getitem__)
        assert found.scatter[count] == pytest.approx(totals[best], abs=1e-12)
        assert found.changes(count).tolist() == list(best)


@pytest.fixture(scope="module")
def tvsum():
    import h5py

    path = Path(__file__).parents[4] / "shared" / "data" / "tvsum_summe" / "tvsum" / "ydata-tvsum50.mat"
    if not path.is_file():
        pytest.skip(f"no real annotations beside the checkout ({path})")
    with h5py.File(path) as file:
        names = ["".join(map(chr, file[place][:].flatten())) for place in file["tvsum50/video"][:, 0]]
        users = [file[place][:] for place in file["tvsum50/user_anno"][:, 0]]
    return dict(zip(names, users, strict=True))


def test_summaries_of_real_annotations(tvsum):
    """Shots of two seconds of TVSum's videos, the people's mean score as the oracle."""
    oracle = []
    for name, facts in ANCHORS["tvsum_uniform60"]["videos"].items():
        users = tvsum[name] if tvsum[name].shape[0] == 20 else tvsum[name].T
        n = users.shape[1]
        assert n == facts["n_frames"]
        starts = np.arange(0, n, 60)
        sizes = np.diff(np.append(starts, n))

        def chosen_frames(scores, starts=starts, sizes=sizes, n=n):
            means = np.add.reduceat(scores, starts) / sizes
            chosen = select_shots(np.rint(1000 * means).astype(np.int64), sizes, int(0.15 * n))
            return chosen, np.repeat(np.isin(np.arange(len(sizes)), chosen), sizes)

        packed, summary = chosen_frames(users.mean(axis=0))
        assert packed.tolist() == facts["packed"]
        people = np.stack([chosen_frames(user)[1] for user in users])
        oracle.append(f_measure(people, summary, over="mean"))
        assert oracle[-1] == pytest.approx(facts["oracle_meanscore_f_avg"], abs=1e-9)
        assert f_measure(people, summary, over="max") == pytest.approx(facts["oracle_f_max"], abs=1e-9)
    assert np.mean(oracle) == pytest.approx(ANCHORS["tvsum_uniform60"]["oracle_f_avg"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.exhaustive  # and through the challenge, in tests/challenges/test_video_summaries.py
def test_people_agree_with_each_other_as_published(tvsum):
    """Kendall's tau 0.177 and Spearman's rho 0.204 of Otani et al., each person against the others."""
    found = {"kendall": [], "spearman": []}
    for users in tvsum.values():
        ratings = (users if users.shape[0] == 20 else users.T)[:, ::15]
        pairs = list(itertools.combinations(ratings, 2))
        for kind, values in found.items():
            values.append(np.mean([rank_correlation(one, other, kind=kind) for one, other in pairs]))
    for kind, values in found.items():
        assert np.mean(values) == pytest.approx(ANCHORS["tvsum_human_rank_every15"][kind], abs=1e-9)


def test_people_agree_on_summe(shared_data):
    from scipy.io import loadmat

    means, largest = [], []
    for path in sorted((shared_data / "tvsum_summe" / "summe" / "GT").glob("*.mat")):
        people = loadmat(path)["user_score"].T > 0
        agreement = [f_measures(np.delete(people, i, axis=0), person) for i, person in enumerate(people)]
        means.append(np.mean([values.mean() for values in agreement]))
        largest.append(np.mean([values.max() for values in agreement]))
    assert len(means) == 25
    assert np.mean(means) == pytest.approx(ANCHORS["summe_human_leave_one_out"]["mean"], abs=1e-9)
    assert np.mean(largest) == pytest.approx(ANCHORS["summe_human_leave_one_out"]["max"], abs=1e-9)
