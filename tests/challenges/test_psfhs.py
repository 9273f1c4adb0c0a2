"""PSFHS 2023: official numbers, S, ranking, splits, files, bad input, the sample, real labels."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

import medbench
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.challenges.psfhs.files import read_label_map
from medbench.challenges.psfhs.sample import drawn_numbers, write_sample
from medbench.cli.main import app
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.sample import Prediction
from medbench.core.score import Score
from medbench.io import nifti_mha, raster
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run

CHALLENGE = load_challenge("psfhs")
GOLDEN, MASKS = golden("iugc_metrics.json"), golden("iugc_masks.npz")
PAIRS = {case["id"]: case for case in GOLDEN["psfhs"]}
ANGLE_TOLERANCE = 0.02


def pair(name):
    return MASKS[f"psfhs__{name}__gt"], MASKS[f"psfhs__{name}__pred"]


def golden_row(name):
    return CaseRow(name, "", "ok", CHALLENGE.score_arrays(*pair(name)), {})


def write_labels(path, labels):
    nifti_mha.write_volume(path, Volume(np.asarray(labels), spacing=(1.0, 1.0)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two training and four test frames."""
    root = tmp_path_factory.mktemp("psfhs")
    write_sample(root, [1, 2, 3201, 3202, 3260, 3910])
    return root


@pytest.fixture
def release(drawn, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(drawn, tmp_path / "psfhs")


@pytest.fixture
def answers(drawn, tmp_path):
    """The references of the test split, as predictions."""
    folder = tmp_path / "answers"
    for case in CHALLENGE.cases(drawn, "test"):
        write_labels(folder / f"{case.id}.mha", CHALLENGE.release.read_reference(case))
    return folder


@pytest.mark.parametrize("name", PAIRS)
def test_the_ten_official_values(name):
    scores, official = CHALLENGE.score_arrays(*pair(name)), PAIRS[name]
    assert scores["aop_ellipse"].value == pytest.approx(official["ellipse_aop"]["delta"], abs=ANGLE_TOLERANCE)
    assert set(scores) == {"aop_ellipse", *official["seg"]}
    for column, value in official["seg"].items():
        tolerance = 1e-4 if column.startswith("asd") else 1e-9
        assert scores[column].value == pytest.approx(value, abs=tolerance), column


@pytest.mark.parametrize(
    ("key", "names"), [("psfhs_aggregate", list(PAIRS)), ("psfhs_aggregate_real", list(PAIRS)[:8])]
)
def test_s_and_the_means_are_the_official_ones(key, names):
    rows = [golden_row(name) for name in names]
    official = GOLDEN[key]
    weights = np.ones((1, len(rows)))
    for spec in CHALLENGE.metrics[1:]:
        mean = CHALLENGE.scorer.statistic(spec, rows)(weights)[0]
        name = "aop" if spec.name == "aop_ellipse" else spec.name
        assert mean == pytest.approx(official["aggregates"][name], abs=ANGLE_TOLERANCE), name
    score = CHALLENGE.scorer.statistic(CHALLENGE.metric("score"), rows)(weights)[0]
    assert score == pytest.approx(official["score"], abs=0.5 * ANGLE_TOLERANCE / 180 + 1e-7)


def test_s_is_not_clipped_and_follows_case_weights():
    rows = [golden_row("real_0"), golden_row("empty")]
    found = CHALLENGE.scorer.statistic(CHALLENGE.metric("score"), rows)(np.array([[1.0, 0], [0, 1], [1, 1]]))
    single = [medbench.score("psfhs.score", *pair(name)).value for name in ("real_0", "empty")]
    assert found[:2] == pytest.approx(single, abs=1e-12)
    assert found[2] == pytest.approx(sum(single) / 2, abs=1e-7)
    far = {name: 300.0 if name[:2] == "hd" else 0.0 for name in PAIRS["real_0"]["seg"]}
    from medbench.metrics.official.intrapartum import psfhs_score

    assert psfhs_score({**far, "aop_ellipse": 180.0}) == pytest.approx(0.125 * (1 - 3) + 0.125)


def test_means_are_rounded_to_eight_decimals_as_in_the_official_program():
    from medbench.metrics.official.intrapartum import psfhs_score

    names = list(PAIRS["real_0"]["seg"])
    means = {name: 0.123456784 if name.startswith("dice") else 23.4567894 for name in names}
    due = 0.25 * 0.12345678 + 0.25 * (1 - 0.23456789) + 0.5
    assert psfhs_score({**means, "aop_ellipse": 0.0}) == pytest.approx(due, abs=1e-15)
    arrays = {name: np.array([value]) for name, value in means.items()}
    assert psfhs_score({**arrays, "aop_ellipse": np.zeros(1)})[0] == pytest.approx(due, abs=1e-15)
    for part in ("dice", "hd", "asd"):
        other = {**means, **{name: means[name] * (1 + 4e-9) for name in names if name.startswith(part)}}
        assert psfhs_score({**other, "aop_ellipse": 0.0}) == psfhs_score({**means, "aop_ellipse": 0.0})


def test_every_number_is_in_one_split():
    from medbench.challenges.psfhs.files import RUNS

    numbers = [number for run in RUNS.values() for number in run]
    assert sorted(numbers) == list(range(4001))
    assert CHALLENGE.release.overlap("train", "all")
    assert not CHALLENGE.release.overlap("train", "test")


def test_neighbouring_images_are_one_group_and_splits_share_none(drawn):
    by_split = {split: CHALLENGE.cases(drawn, split) for split in ("train", "test", "all")}
    assert [case.id for case in by_split["test"]] == ["03201", "03202", "03260", "03910"]
    assert len(by_split["all"]) == 6
    groups = [case.group for case in by_split["test"]]
    assert groups == ["03200-03249", "03200-03249", "03250-03299", "03900-03949"]
    assert not {case.group for case in by_split["train"]} & set(groups)


def test_the_sample_has_the_release_s_files(drawn):
    numbers = drawn_numbers()
    assert len(set(numbers)) == len(numbers) == 92
    for path in (drawn / "image_mha").iterdir():
        image = SimpleITK.ReadImage(str(path))
        assert image.GetSize() == (256, 256, 3)
        assert image.GetPixelID() == SimpleITK.sitkUInt8
        labels = SimpleITK.ReadImage(str(drawn / "label_mha" / path.name))
        assert labels.GetSize() == (256, 256)
        assert set(np.unique(SimpleITK.GetArrayFromImage(labels))) == {0, 1, 2}
    findings = CHALLENGE.release.check(drawn)
    assert findings[0].message == "6 of the release's 4,000 images."
    assert {finding.severity for finding in findings[1:]} == {"note"}


def test_predictions_of_images_without_geometry_are_written(tmp_path):
    """As where somebody's own frames are PNG files."""
    raster.write_image(tmp_path / "a.png", np.zeros((32, 48), np.uint8))
    labels = np.arange(32 * 48, dtype=np.uint8).reshape(1, 32, 48) % 3
    case = Case("a", {"image": tmp_path / "a.png"})
    path = CHALLENGE.write(Prediction({"label_map": labels}), case, tmp_path / "p")
    assert np.array_equal(CHALLENGE.exchange.read_prediction(path), labels[0])


def test_predictions_carry_the_image_s_geometry(release, tmp_path):
    case = CHALLENGE.cases(release, "test")[0]
    image = SimpleITK.ReadImage(str(case.inputs["image"]))
    image.SetSpacing((0.3, 0.4, 1.0))
    image.SetOrigin((5.0, -7.0, 2.0))
    image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(case.inputs["image"]))
    reference = CHALLENGE.release.read_reference(case)
    path = CHALLENGE.write(Prediction({"label_map": reference[np.newaxis]}), case, tmp_path)
    written = SimpleITK.ReadImage(str(path))
    assert path.name == "03201.mha"
    assert written.GetSpacing() == (0.3, 0.4)
    assert written.GetOrigin() == (5.0, -7.0)
    assert written.GetDirection() == (0, -1, 1, 0)
    assert written.GetPixelID() == SimpleITK.sitkUInt8
    assert np.array_equal(SimpleITK.GetArrayFromImage(written), reference)
    scores = CHALLENGE.scorer.score_file(case, path).scores
    assert scores["dice_all"].value == 1
    assert scores["aop_ellipse"].value == 0


def test_perfect_answers_score_one(drawn, answers, tmp_path):
    finished = evaluate("psfhs", answers, data=drawn, split="test", runs=tmp_path / "runs")
    assert finished.record.metrics["score"].value == 1
    assert finished.record.counts.ok == 4


def test_a_reference_without_a_structure_leaves_s(release, answers, tmp_path):
    label = release / "label_mha" / "03201.mha"
    labels = read_label_map(label)
    write_labels(label, np.where(labels == 1, 0, labels))
    finished = evaluate("psfhs", answers, data=release, split="test", runs=tmp_path / "runs")
    metrics = finished.record.metrics
    assert (metrics["dice_ps"].undefined, metrics["dice_ps"].scored) == (1, 3)
    assert (metrics["score"].value, metrics["score"].scored) == (1, 3)


def test_what_fails_is_scored_by_the_declared_rule(drawn):
    case = CHALLENGE.cases(drawn, "test")[0]
    reference = CHALLENGE.release.read_reference(case)
    failed = CHALLENGE.scorer.score_failed(case, "missing", "gone").scores
    empty = CHALLENGE.score_arrays(reference, np.zeros_like(reference))
    assert {name: score.value for name, score in failed.items()} == {
        name: score.value for name, score in empty.items()
    }
    assert failed["aop_ellipse"].value > 60
    assert {score.status for score in failed.values()} == {"missing"}


DAMAGE = {}


def damage(expected):
    def keep(function):
        DAMAGE[function.__name__] = (function, expected)
        return function

    return keep


@damage("compressed bytes where its header announces")
def truncated(image, label):
    image.write_bytes(image.read_bytes()[:20_000])


@damage("planes that differ")
def colours(image, label):
    planes = nifti_mha.read_volume(image).array.copy()
    planes[1] //= 2
    nifti_mha.write_volume(image, Volume(planes))


@damage("holds uint16 values")
def sixteen_bits(image, label):
    nifti_mha.write_volume(image, Volume(nifti_mha.read_volume(image).array.astype(np.uint16) * 257))


@damage("is 3×128×256")
def image_of_another_size(image, label):
    nifti_mha.write_volume(image, Volume(nifti_mha.read_volume(image).array[:, ::2]))


@damage("holds the label values 0, 1, 2, 3")
def label_three(image, label):
    labels = nifti_mha.read_volume(label).array.copy()
    labels[:9] = 3
    write_labels(label, labels)


@damage("holds the label values 0, 255")
def mask_for_viewing(image, label):
    write_labels(label, (nifti_mha.read_volume(label).array > 0).astype(np.uint8) * 255)


@damage("is 128×256 where its image is 256×256")
def label_map_of_another_size(image, label):
    write_labels(label, nifti_mha.read_volume(label).array[::2])


@damage("there is no such file")
def label_map_gone(image, label):
    label.unlink()


@pytest.mark.parametrize("name", DAMAGE)
def test_a_check_names_each_bad_file_in_one_line(release, name):
    harm, expected = DAMAGE[name]
    image, label = release / "image_mha" / "03201.mha", release / "label_mha" / "03201.mha"
    harm(image, label)
    errors = [finding.message for finding in CHALLENGE.release.check(release) if finding.severity == "error"]
    assert len(errors) == 1
    assert expected in errors[0]
    assert "03201.mha" in errors[0]
    assert "\n" not in errors[0]


@pytest.mark.parametrize("name", ["truncated", "colours", "sixteen_bits", "label_three"])
def test_a_bad_file_costs_its_own_case_only(release, name, tmp_path):
    harm, expected = DAMAGE[name]
    harm(release / "image_mha" / "03201.mha", release / "label_mha" / "03201.mha")
    finished = run(
        "smp/unet", "psfhs", data=release, split="test", weights="none",
        inference=Inference(image_size=64), options={"encoder": "resnet18"}, runs=tmp_path / "runs",
    )  # fmt: skip
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert (bad.case, bad.status) == ("03201", "failed")
    assert "03201.mha" in bad.reason
    assert expected in bad.reason
    assert "\n" not in bad.reason
    assert len(finished.rows) > 1
    assert finished.exit_code == 1


def test_bad_predictions_cost_their_own_case_only(drawn, answers, tmp_path):
    whole = (answers / "03201.mha").read_bytes()
    (answers / "03201.mha").write_bytes(whole[: len(whole) // 2])
    labels = read_label_map(answers / "03202.mha")
    write_labels(answers / "03202.mha", np.where(labels == 2, 3, labels))
    (answers / "03260.mha").unlink()
    finished = evaluate("psfhs", answers, data=drawn, split="test", runs=tmp_path / "runs")
    rows = {row.case: row for row in finished.rows}
    assert [rows[case].status for case in ("03201", "03202", "03260", "03910")] == [
        "failed", "failed", "missing", "ok",
    ]  # fmt: skip
    assert "compressed bytes where its header announces" in rows["03201"].reason
    assert "0, 1, 3" in rows["03202"].reason
    assert finished.record.metrics["dice_all"].value == pytest.approx(0.25)
    assert finished.record.metrics["hd_fh"].value == pytest.approx(75)


def test_images_in_two_splits_are_found(release):
    for folder in ("image_mha", "label_mha"):
        shutil.copy(release / folder / "00001.mha", release / folder / "03300.mha")
    errors = [finding.message for finding in CHALLENGE.release.check(release) if finding.severity == "error"]
    assert len(errors) == 1
    assert "03300.mha: the same image as" in errors[0]
    assert "in test and train" in errors[0]


def test_a_folder_without_the_layout_says_what_was_looked_for(tmp_path):
    with pytest.raises(MedbenchError, match="image_mha"):
        CHALLENGE.cases(tmp_path, "test")


def rows_of(values):
    columns = [spec.name for spec in CHALLENGE.metrics[1:]]
    return [
        CaseRow(str(case), "", "ok", {name: Score(float(value)) for name in columns}, {})
        for case, value in enumerate(values)
    ]


def ranked_rows(quality):
    """Rows whose every column is better by ``quality``."""
    rows = []
    for case in range(20):
        scores = {"aop_ellipse": Score(20.0 - quality + 0.1 * case)}
        for spec in CHALLENGE.metrics[2:]:
            value = 0.5 + 0.02 * quality if spec.better == "higher" else 20.0 - quality + 0.1 * case
            scores[spec.name] = Score(value)
        rows.append(CaseRow(str(case), "", "ok", scores, {}))
    return rows


def test_ranking_adds_ranks_by_significance():
    standings = CHALLENGE.scorer.rank(
        {"poor": ranked_rows(0), "good": ranked_rows(5), "twin": ranked_rows(5)}
    )
    assert [(s.name, s.place, s.rank_sum) for s in standings] == [
        ("good", 1, 10), ("twin", 1, 10), ("poor", 3, 30),
    ]  # fmt: skip


def test_equal_rank_sums_are_separated_by_s_and_chance_is_no_rank():
    noise = np.random.default_rng(0)
    first, second = ranked_rows(5), ranked_rows(5)
    for rows, shift in ((first, 0.0), (second, -0.001)):
        for row in rows:
            row.scores["dice_ps"] = Score(0.8 + shift + 0.05 * noise.standard_normal())
    standings = CHALLENGE.scorer.rank({"second": second, "first": first})
    assert {s.rank_sum for s in standings} == {10}
    assert sorted(s.place for s in standings) == [1, 2]
    assert standings[0].tie_breaker > standings[1].tie_breaker


@pytest.mark.parametrize(
    ("measure", "thirds", "share"),
    [("dice", 0.33333333, 0.25), ("hd", 0.00333333, -0.125), ("asd", 0.00333333, -0.125)],
)
def test_s_rounds_each_mean_over_structures_to_eight_decimals(measure, thirds, share):
    """A third is 0.33333333 in S, as in evaluation.py; a hundredth of it is 0.00333333."""
    from medbench.metrics.official.intrapartum import psfhs_score

    means = {
        f"{name}_{structure}": 0.0 for name in ("dice", "hd", "asd") for structure in ("ps", "fh", "all")
    }
    none = psfhs_score({**means, "aop_ellipse": 0.0})
    one = psfhs_score({**means, f"{measure}_ps": 1.0, "aop_ellipse": 0.0})
    assert one - none == pytest.approx(share * thirds, abs=1e-12)


def test_entries_whose_s_differs_below_the_rounding_share_a_place():
    first, second = ranked_rows(5), ranked_rows(5)
    second[0].scores["dice_ps"] = Score(second[0].scores["dice_ps"].value + 3e-9)
    standings = CHALLENGE.scorer.rank({"first": first, "second": second})
    assert [(s.place, s.rank_sum) for s in standings] == [(1, 10), (1, 10)]
    assert standings[0].tie_breaker == standings[1].tie_breaker


def test_ranking_refuses_other_cases():
    with pytest.raises(MedbenchError, match="other cases"):
        CHALLENGE.scorer.rank({"a": ranked_rows(1), "b": ranked_rows(1)[1:]})


def test_compare_prints_the_challenge_s_ranking(drawn, answers, tmp_path):
    folders = []
    for name, rows in (("whole", 0), ("cut", 40)):
        made = tmp_path / name
        for path in sorted(answers.iterdir()):
            labels = read_label_map(path).copy()
            labels[: int(rows * 3)] = 0
            write_labels(made / path.name, labels)
        finished = evaluate("psfhs", made, data=drawn, runs=tmp_path / "runs")
        folders.append(str(finished.folder))
    told = CliRunner().invoke(app, ["compare", *folders])
    assert told.exit_code == 0, told.output
    assert "Ranking of PSFHS 2023" in told.output
    table = told.output[told.output.index("Ranking of PSFHS 2023") :]
    assert table.index("whole") < table.index("cut")
    arguments = ["rank", *folders, "--resamples", "20"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "the challenge's own" in told.output
    ranks = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert ranks["official"]["ranks"] == [1, 2]
    assert ranks["official"]["stability"]["resamples"] == 20
    first = ranks["columns"][0]
    assert (first["metric"], first["significance"]) == ("score", [])
    assert [ranking["ranks"] for ranking in first["rankings"]] == [[1, 2]]


def test_real_labels_and_one_team_s_predictions(shared_data, tmp_path):
    labels = sorted((shared_data / "psfhs" / "labels").glob("*.png"))
    if not labels:
        pytest.skip("no real label maps of PSFHS beside the checkout")
    root, predictions = tmp_path / "release", tmp_path / "predictions"
    for path in labels:
        number = int(path.stem.removeprefix("label_"))
        name = f"{3201 + number:05}.mha"
        reference = raster.read_label_map(path)
        write_labels(root / "label_mha" / name, reference)
        nifti_mha.write_volume(root / "image_mha" / name, Volume(np.full((3, 256, 256), number, np.uint8)))
        shutil.copy(path.parents[1] / "predictions" / f"out_{number}.png", tmp_path / "out.png")
        write_labels(predictions / name, read_label_map(tmp_path / "out.png"))
    finished = evaluate("psfhs", predictions, data=root, split="test", runs=tmp_path / "runs")
    assert finished.record.counts.ok == 13
    rows = {row.case: row for row in finished.rows}
    for name in list(PAIRS)[:8]:
        number = int(name.removeprefix("real_"))
        for column, value in PAIRS[name]["seg"].items():
            assert rows[f"{3201 + number:05}"].scores[column].value == pytest.approx(value, abs=1e-4)
    assert 0.9 < finished.record.metrics["score"].value < 0.97


def test_real_frames_in_the_release_s_layout(shared_data, tmp_path):
    source = shared_data / "psfhs_iugc" / "figure_recovered"
    if not source.is_dir():
        pytest.skip("no real frames of PSFHS beside the checkout")
    for folder in ("image_mha", "label_mha"):
        shutil.copytree(source / folder, tmp_path / folder)
    cases = CHALLENGE.cases(tmp_path, "all")
    assert len(cases) == 45
    errors = [finding for finding in CHALLENGE.release.check(tmp_path) if finding.severity == "error"]
    assert errors == []
    both = [case for case in cases if {1, 2} <= set(np.unique(CHALLENGE.release.read_reference(case)))]
    assert len(both) == 27
    for case in both[:5]:
        assert CHALLENGE.read(case).images.shape == (1, 256, 256, 3)
        scores = CHALLENGE.score_arrays(*[CHALLENGE.release.read_reference(case)] * 2)
        assert scores["dice_fh"].value == 1


def second_release(root, count, first=3744):
    """Names of a release; nothing opens the files."""
    for number in range(first, first + count):
        for folder in ("image_mha", "label_mha"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{number:05}.mha").touch()
    return root


def test_the_release_of_1358_pairs_has_splits_of_its_own(tmp_path):
    release, root = CHALLENGE.release, second_release(tmp_path, 1358)
    sizes = {}
    owners = {}
    for split in ("scidata_train", "scidata_val", "scidata_test"):
        cases = release.cases(root, split)
        sizes[split] = len(cases)
        assert release.completeness(root, split) == (1358, 1358)
        assert release.training_split_of(split) == "scidata_train"
        for case in cases:
            assert owners.setdefault(case.group, split) == split
    assert sum(sizes.values()) == 1358
    assert 0.65 < sizes["scidata_train"] / 1358 < 0.75
    assert 0.15 < sizes["scidata_test"] / 1358 < 0.25
    assert "10969427" in release.split_facts("scidata_test").rule


@pytest.mark.parametrize(
    ("count", "split", "told"),
    [
        (1358, "test", "holds that of Zenodo 10969427"),
        (1358, "all", "holds that of Zenodo 10969427"),
        (1357, "scidata_test", "holds the challenge's training set"),
    ],
)
def test_splits_of_one_release_are_refused_on_the_other(tmp_path, count, split, told):
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(second_release(tmp_path, count), split)
    assert caught.value.code == "data.other_release"
    assert told in caught.value.message


def test_weights_of_one_release_never_test_on_the_other():
    for first, second in (("train", "scidata_test"), ("scidata_train", "test"), ("scidata_train", "all")):
        assert CHALLENGE.release.overlap(first, second)
    assert not CHALLENGE.release.overlap("scidata_train", "scidata_test")
    assert not CHALLENGE.release.overlap("train", "test")


def test_the_check_says_which_release_it_is(drawn, monkeypatch):
    monkeypatch.setattr("medbench.challenges.psfhs.files.SCIDATA", 6)
    messages = [finding.message for finding in CHALLENGE.release.check(drawn)]
    assert messages[0] == "6 images: the release is that of Zenodo 10969427."
    assert any(message.startswith("scidata_train: ") for message in messages)
    assert not any(message.startswith("train: ") for message in messages)
