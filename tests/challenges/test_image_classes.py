"""Challenges of images with one class: files, splits, tables, scores, bad input, reports."""

import json
import shutil

import cv2
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from medbench.challenges import load_challenge
from medbench.challenges.colonpath.files import case_of
from medbench.challenges.isic2018_task3.files import CODES, GROUPINGS
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.sample import Prediction
from medbench.running.evaluate import evaluate
from medbench.running.samples import MARKER
from sample_contract import check_with

NAMES = ("brain_tumor_mri", "colonpath", "isic2018_task3")
BRAIN_CLASSES = ("glioma", "meningioma", "notumor", "pituitary")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_kept(name, sample, tmp_path, full):
    check_with(name, sample(name), tmp_path, full)


def brain_release(root, counts):
    """A release of tiny grey images, so many of each class in both folders."""
    for part in ("Training", "Testing"):
        for index, (name, count) in enumerate(zip(BRAIN_CLASSES, counts, strict=True)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = np.full(
                    (8, 9), 10 + 40 * index + number + (100 if part == "Testing" else 0), np.uint8
                )
                image[0, 0] = 0
                cv2.imwrite(str(folder / f"image({number}).png"), image)
    return root


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    """60 test images."""
    return brain_release(tmp_path_factory.mktemp("brain"), (18, 15, 14, 13))


def confidences_of(cases, seed, ties=False):
    generator = np.random.default_rng(seed)
    own = np.array([case.facts["class"] for case in cases])
    logits = 1.2 * np.eye(4)[own] + generator.normal(0, 1, (len(cases), 4))
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        values = np.round(values * 6 + 1)
        values /= values.sum(axis=1, keepdims=True)
    return own, values


def write_table(path, cases, values, header="image,glioma,meningioma,notumor,pituitary", suffix=""):
    lines = [
        header,
        *(
            f"{case.id}{suffix},{','.join(map(repr, row))}"
            for case, row in zip(cases, values.tolist(), strict=True)
        ),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def due(own, values):
    called = values.argmax(axis=1)
    macro = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": sklearn_metrics.accuracy_score(own, called),
        "precision": sklearn_metrics.precision_score(own, called, **macro),
        "recall": sklearn_metrics.recall_score(own, called, **macro),
        "f1": sklearn_metrics.f1_score(own, called, **macro),
        "auc": sklearn_metrics.roc_auc_score(own, values, multi_class="ovr", average="macro"),
        **{
            f"sensitivity_{name}": sklearn_metrics.recall_score(own == k, called == k)
            for k, name in enumerate(BRAIN_CLASSES)
        },
        **{
            f"specificity_{name}": sklearn_metrics.recall_score(own != k, called != k)
            for k, name in enumerate(BRAIN_CLASSES)
        },
    }


@pytest.mark.slow
def test_evaluate_equals_scikit_learn_on_200_random_sets(brain, tmp_path, monkeypatch, full):
    monkeypatch.setattr("medbench.running.finishing.write_report", lambda *arguments, **options: None)
    cases = load_challenge("brain_tumor_mri").cases(brain, "test")
    for seed in range(200 if full else 8):
        own, values = confidences_of(cases, seed, ties=seed % 2 == 1)
        folder = tmp_path / f"set{seed}"
        write_table(folder / "table.csv", cases, values)
        finished = evaluate(
            "brain_tumor_mri", folder, data=brain, runs=tmp_path / "runs", leaderboards=tmp_path / "boards"
        )
        written = {name: figures.value for name, figures in finished.record.metrics.items()}
        for name, value in due(own, values).items():
            assert written[name] == pytest.approx(value, abs=1e-12), (seed, name)
        shutil.rmtree(finished.folder)


def test_isic_scores_equal_scikit_learn_and_rank_by_balanced_accuracy():
    challenge = load_challenge("isic2018_task3")
    generator = np.random.default_rng(0)
    own = np.concatenate([np.arange(7), generator.integers(0, 7, 80)])
    values = generator.dirichlet(np.ones(7), len(own)) * 0.5 + 0.5 * np.eye(7)[generator.permuted(own)]
    scores = challenge.score_arrays(own, values)
    called = values.argmax(axis=1)
    assert challenge.metrics[0].name == "balanced_accuracy"
    assert scores["balanced_accuracy"].value == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(own, called)
    )
    for k, code in enumerate(CODES):
        code = code.lower()
        assert scores[f"auc_{code}"].value == pytest.approx(
            sklearn_metrics.roc_auc_score(own == k, values[:, k])
        )
        ap = sklearn_metrics.average_precision_score(own == k, values[:, k])
        assert scores[f"average_precision_{code}"].value == pytest.approx(ap)
        assert scores[f"sensitivity_{code}"].value == pytest.approx(
            sklearn_metrics.recall_score(own == k, called == k, zero_division=0)
        )
    assert set(scores) == {spec.name for spec in challenge.metrics}


def test_what_is_written_is_read_back_and_gathered_into_one_table(brain, tmp_path):
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    _, values = confidences_of(cases, 1)
    for case, row in zip(cases, values.astype(np.float32), strict=True):
        path = challenge.write(Prediction({"image_classes": row[None]}), case, tmp_path / "ours")
        assert challenge.locate(case, tmp_path / "ours") == path
        np.testing.assert_array_equal(challenge.exchange.read_prediction(case, path).astype(np.float32), row)
    table = challenge.exchange.gather(cases, tmp_path / "ours")
    assert table.read_text().splitlines()[0] == "image,glioma,meningioma,notumor,pituitary"
    assert len(table.read_text().splitlines()) == 61
    alone = tmp_path / "alone" / "any name.csv"
    alone.parent.mkdir()
    shutil.copy(table, alone)
    for case in cases:
        assert challenge.locate(case, alone.parent) == alone
        assert (
            challenge.score(case, alone.parent).evidence == challenge.score(case, tmp_path / "ours").evidence
        )


def score_of(brain, folder, index=3):
    challenge = load_challenge("brain_tumor_mri")
    case = challenge.cases(brain, "test")[index]
    return challenge.score(case, folder)


BAD_ROWS = {
    "sum": (
        "0.5,0.4,0.2,0.0",
        "line 5: the probabilities of Testing/glioma/image(11) have the sum 1.1, not 1",
    ),
    "negative": ("1.2,-0.2,0.0,0.0", "line 5, column 'glioma': '1.2' is no probability"),
    "text": ("many,0,0,1", "line 5, column 'glioma': 'many' is no probability"),
    "nan": ("nan,0,0,1", "column 'glioma': 'nan' is no probability"),
    "short": ("0.5,0.5", "line 5: has 3 cells, the header 5"),
    "long": ("0,25,0,25,0,25,0,25", "line 5: has 9 cells, the header 5"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_by_its_line_and_fails_alone(brain, tmp_path, kind):
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    _, values = confidences_of(cases, 2)
    folder = tmp_path / "predictions"
    write_table(folder / "t.csv", cases, values)
    cells, told = BAD_ROWS[kind]
    lines = (folder / "t.csv").read_text().splitlines()
    lines[4] = f"{cases[3].id},{cells}"
    (folder / "t.csv").write_text("\n".join(lines))
    with pytest.raises(MedbenchError) as caught:
        score_of(brain, folder)
    assert told.replace("Testing/glioma/image(11)", cases[3].id) in caught.value.message
    finished = evaluate(
        "brain_tumor_mri", folder, data=brain, runs=tmp_path / "runs", leaderboards=tmp_path / "boards"
    )
    assert finished.exit_code == 1
    assert (finished.record.counts.ok, finished.record.counts.failed) == (59, 1)
    row = next(row for row in finished.rows if row.case == cases[3].id)
    assert "line 5" in row.reason
    assert row.scores["margin"].value == -1


def test_confidences_of_isic_need_not_have_the_sum_1(tmp_path):
    path, exchange = tmp_path / "t.csv", load_challenge("isic2018_task3").exchange
    path.write_text(f"image,{','.join(CODES)}\nISIC_0000001,0.9,0.9,0,0,1,0.25,0\n")
    case = Case("ISIC_0000001", {}, {})
    np.testing.assert_array_equal(exchange.read_prediction(case, path), [0.9, 0.9, 0, 0, 1, 0.25, 0])


def test_rows_that_are_there_twice_and_rows_that_are_missing(brain, tmp_path):
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    _, values = confidences_of(cases, 2)
    write_table(tmp_path / "t.csv", [*cases[:-1], cases[3]], values)
    with pytest.raises(MedbenchError, match=r"lines 5, 61: .* is there twice"):
        score_of(brain, tmp_path)
    assert challenge.locate(cases[-1], tmp_path) is None
    assert challenge.score(cases[-1], tmp_path).scores["margin"].status == "missing"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("image,glioma,meningioma,notumor", "column 'pituitary' is not there"),
        ("image,glioma,meningioma,notumor,pituitary,oedema", "there is no class 'oedema'"),
        ("image,glioma,glioma,notumor,pituitary", "column 'glioma' is twice"),
        ("name,glioma,meningioma,notumor,pituitary", "column 'image' is not there"),
    ],
)
def test_unknown_and_missing_classes_are_refused_before_anything_is_scored(brain, tmp_path, header, told):
    cases = load_challenge("brain_tumor_mri").cases(brain, "test")
    _, values = confidences_of(cases, 2)
    write_table(tmp_path / "p" / "t.csv", cases, values, header=header)
    with pytest.raises(MedbenchError) as caught:
        evaluate(
            "brain_tumor_mri", tmp_path / "p", data=brain, runs=tmp_path / "r", leaderboards=tmp_path / "b"
        )
    assert "line 1" in caught.value.message
    assert told in caught.value.message


def test_a_failed_image_is_wrong_in_every_column(brain):
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    rows = [
        CaseRow(case.id, case.id, "failed", *(lambda s: (s.scores, s.evidence))(
            challenge.scorer.score_failed(case, "failed", "reason")
        ))
        for case in cases
    ]  # fmt: skip
    for spec in challenge.metrics:
        value = float(challenge.scorer.statistic(spec, rows)(np.ones((1, len(rows))))[0])
        assert value == (-1 if spec.name == "margin" else 0), spec.name


@pytest.mark.slow
def test_the_table_of_colonpath_has_the_probability_of_a_tumour_alone(sample, tmp_path):
    challenge = load_challenge("colonpath")
    cases = challenge.cases(sample("colonpath"), "test")
    path = challenge.write(
        Prediction({"image_classes": np.array([[0.25, 0.75]], np.float32)}), cases[0], tmp_path / "p"
    )
    assert path.read_text() == f"img_id,tumor\n{cases[0].id}.png,0.75\n"
    own = [case.facts["class"] for case in cases]
    ranks = np.random.default_rng(0).uniform(size=len(cases))
    scores = challenge.score_arrays(own, np.stack([1 - ranks, ranks], axis=1))
    assert scores["auc"].value == pytest.approx(sklearn_metrics.roc_auc_score(own, ranks))
    assert scores["f1"].value == pytest.approx(sklearn_metrics.f1_score(own, ranks > 0.5))
    assert scores["average_precision"].value == pytest.approx(
        sklearn_metrics.average_precision_score(own, ranks)
    )


@pytest.mark.slow
def test_patches_of_one_patient_and_images_of_one_lesion_stay_together(sample):
    assert case_of("2019-08974-1-5-5_2019-05-28 23_17_50-lv1-33952-9759-6526-5268p0018") == "2019-08974"
    for name in ("colonpath", "isic2018_task3"):
        challenge = load_challenge(name)
        owners = {}
        for split in ("train", "val", "test"):
            for case in challenge.cases(sample(name), split):
                assert owners.setdefault(case.group, split) == split
        assert len(owners) > 20


@pytest.mark.slow
def test_ground_truth_that_is_not_one_hot_is_told_by_line_and_its_image_has_no_score(sample, tmp_path):
    challenge = load_challenge("isic2018_task3")
    shutil.copytree(sample("isic2018_task3"), tmp_path, dirs_exist_ok=True)
    (tmp_path / MARKER).unlink()
    table = tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("0.0", "1.0")
    name = lines.pop(2).partition(",")[0]
    table.write_text("\n".join(lines))
    (tmp_path / GROUPINGS).unlink()
    messages = [finding.message for finding in challenge.release.check(tmp_path)]
    assert any("line 2: ISIC_0000000 has not one class" in message for message in messages)
    assert any(f"has no row of {name}" in message for message in messages)
    assert any("images of one lesion may lie in several splits" in message for message in messages)
    case = next(case for case in challenge.cases(tmp_path, "official_train") if case.id == name)
    assert challenge.scorer.score_failed(case, "failed", "x").scores["margin"].status == "undefined"


def test_the_check_finds_equal_images_across_splits_and_with_other_classes(tmp_path):
    root = brain_release(tmp_path, (3, 3, 3, 3))
    shutil.copy(root / "Training/glioma/image(0).png", root / "Testing/glioma/again.png")
    shutil.copy(root / "Training/glioma/image(1).png", root / "Training/notumor/other.png")
    (root / "Testing/pituitary/image(2).png").write_bytes(b"no image")
    findings = load_challenge("brain_tumor_mri").release.check(root)
    errors = [finding.message for finding in findings if finding.severity == "error"]
    assert any("again.png: the same image" in message or "image(0).png, in" in message for message in errors)
    assert any("with another class" in message for message in errors)
    assert any("image(2).png" in message for message in errors)
    assert any("no patients" in finding.message for finding in findings)


def test_the_older_copy_of_the_brain_tumours(tmp_path):
    for part in ("Training", "Testing"):
        for name in ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor"):
            (tmp_path / part / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / part / name / "image(1).jpg"), np.zeros((8, 8), np.uint8))
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(tmp_path, "test")
    assert [case.facts["class"] for case in cases] == [0, 1, 2, 3]
    assert len({case.id for case in cases}) == 4
    assert challenge.release.completeness(tmp_path, "test") == (4, 394)


def test_the_report_shows_confusion_curves_and_the_most_confident_mistakes(brain, tmp_path):
    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    own, values = confidences_of(cases, 5)
    worst = int(np.argmin(values[np.arange(60), own] - np.where(np.eye(4)[own] > 0, -1, values).max(axis=1)))
    write_table(tmp_path / "p" / "t.csv", cases, values)
    finished = evaluate(
        "brain_tumor_mri",
        tmp_path / "p",
        data=brain,
        runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )
    page = (finished.folder / "report.html").read_text()
    for told in ("Confusion matrix", "ROC curves", "Reliability", "pointwise 95 % intervals", "<polygon"):
        assert told in page
    matrix = sklearn_metrics.confusion_matrix(own, values.argmax(axis=1))
    charts = challenge.scorer.charts(finished.rows)
    assert [list(row) for row in charts[0].counts] == matrix.tolist()
    first = page.index("Worst cases by margin")
    assert page.index(cases[worst].id, first) < page.index("predicted", first)
    assert f"is {BRAIN_CLASSES[own[worst]]}, predicted" in page[first:]
    rows = [json.loads(line) for line in (finished.folder / "cases.jsonl").read_text().splitlines()]
    assert json.dumps(rows[0]["evidence"])


def test_roc_and_reliability_curves_equal_scikit_learn(brain):
    from sklearn.calibration import calibration_curve

    challenge = load_challenge("brain_tumor_mri")
    cases = challenge.cases(brain, "test")
    own, values = confidences_of(cases, 6)
    rows = [
        CaseRow(case.id, case.id, "ok", {}, {"class": int(k), "probabilities": row})
        for case, k, row in zip(cases, own, values.tolist(), strict=True)
    ]
    _, roc, reliability = challenge.scorer.charts(rows)
    for k, curve in enumerate(roc.curves):
        fpr, tpr, _ = sklearn_metrics.roc_curve(own == k, values[:, k], drop_intermediate=False)
        np.testing.assert_allclose(curve.y, np.interp(curve.x, fpr, tpr), atol=1e-12)
        assert all(low <= high for low, high in zip(curve.low, curve.high, strict=True))
    right = values.argmax(axis=1) == own
    share, centre = calibration_curve(right, values.max(axis=1), n_bins=10)
    np.testing.assert_allclose(reliability.curves[0].y, share, atol=1e-12)
    np.testing.assert_allclose(reliability.curves[0].x, centre, atol=1e-12)
