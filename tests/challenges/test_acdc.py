"""ACDC: layouts, splits by patient, scores without spacing, bad input, the real volumes, a run on the "
"sample."""

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.acdc.files import hashed_split
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.io import hdf5, nifti_mha
from medbench.running.request import Inference
from medbench.running.run import run
from sample_contract import check_with

CHALLENGE = load_challenge("acdc")
SPACED = ("hd95", "hd95_rv", "hd95_myo", "hd95_lv")


@pytest.fixture(scope="module")
def prepared(sample):
    return sample("acdc")


@pytest.mark.slow
def test_the_contract_is_kept(prepared, tmp_path, full):
    check_with("acdc", prepared, tmp_path, full)


def test_the_lineages_layout(prepared, tmp_path):
    test = CHALLENGE.cases(prepared, "test")
    assert test[0].id == "case_002_volume_ED"
    assert {case.group for case in test} == {"case_002", "case_008", "case_009", "case_010"}
    train = CHALLENGE.cases(prepared, "train")
    assert train[0].id == "case_001_sliceED_0"
    assert {case.group for case in train} & {case.group for case in test} == set()
    assert CHALLENGE.release.completeness(prepared, "test") == (4, 20)
    sample = CHALLENGE.read(test[0])
    assert sample.images.shape == (8, 160, 160, 1)
    assert len(CHALLENGE.exchange.inputs["image"].examples(prepared, "train", tmp_path)) == len(train)


def volume(seed):
    generator = np.random.default_rng(seed)
    labels = np.zeros((4, 40, 40), np.uint8)
    labels[:3, 5:15, 5:15], labels[:, 18:34, 18:34], labels[:, 22:30, 22:30] = 1, 2, 3
    return generator.random(labels.shape).astype(np.float32), labels


@pytest.mark.parametrize("form", ["image", "volume"])
def test_labels_of_another_size_are_named_before_a_volume_is_read(form, tmp_path, monkeypatch):
    for number in range(1, 8):
        image, labels = volume(number)
        own = labels[:, :32] if number == 1 else labels[:3] if number == 3 else labels
        hdf5.write_arrays(tmp_path / f"patient{number:03}_frame01.h5", {"image": image, "label": own})
    monkeypatch.setattr(type(CHALLENGE.release), "read_volume", lambda *_: pytest.fail("a volume was read"))
    with pytest.raises(MedbenchError) as error:
        CHALLENGE.exchange.inputs[form].examples(tmp_path, "train", tmp_path / "cache")
    assert error.value.code == "data.size_mismatch"
    assert "2 masks are of another size than their image: " in error.value.message
    for number, own in ((1, "4×32×40"), (3, "3×40×40")):
        assert f"patient{number:03}_frame01.h5 ({own}, its image 4×40×40)" in error.value.message


def test_loose_volumes_are_split_by_patient_and_have_no_distances_in_mm(tmp_path):
    for number in range(1, 13):
        image, labels = volume(number)
        for frame in (1, 12):
            path = tmp_path / f"patient{number:03}_frame{frame:02}.h5"
            hdf5.write_arrays(path, {"image": image, "label": labels})
    owners = {}
    for split in ("train", "val", "test"):
        for case in CHALLENGE.cases(tmp_path, split):
            assert hashed_split(case.group) == split
            owners.setdefault(case.group, set()).add(split)
    assert len(owners) == 12
    assert all(len(splits) == 1 for splits in owners.values())
    case = CHALLENGE.cases(tmp_path, "test")[0]
    _, labels = volume(1)
    shifted = np.roll(labels, 2, axis=2)
    path = CHALLENGE.write(Prediction({"label_map": shifted}), case, tmp_path / "p")
    scores = CHALLENGE.scorer.score_file(case, path).scores
    for name in SPACED:
        assert scores[name].status == "undefined"
        assert "no spacing" in scores[name].reason
    assert scores["hd95_transunet_rv"].value == pytest.approx(2)
    overlap = 2 * (10 - 2) / 20
    assert scores["dice_rv"].value == pytest.approx(overlap)
    assert scores["dice_transunet_rv"].value == pytest.approx(overlap)
    (tmp_path / "spacing.csv").write_text("case,z_mm,y_mm,x_mm\n" + f"{case.group},10,1.5,1.5\n")
    spaced = CHALLENGE.cases(tmp_path, "test")[0]
    assert CHALLENGE.scorer.score_file(spaced, path).scores["hd95_rv"].value == pytest.approx(3)


def test_the_release_as_nifti_has_its_spacing(tmp_path):
    for number in (4, 9):
        image, labels = volume(number)
        folder = tmp_path / "training" / f"patient{number:03}"
        for name, array in (("", image * 900), ("_gt", labels)):
            path = folder / f"patient{number:03}_frame01{name}.nii.gz"
            nifti_mha.write_volume(
                path, Volume(array, (10.0, 1.5, 1.5), (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
            )
    case = CHALLENGE.cases(tmp_path, "test")[0]
    assert case.id == "patient004_frame01"
    images = CHALLENGE.read(case).images
    assert 0 <= images.min() < images.max() <= 1
    path = CHALLENGE.write(Prediction({"label_map": np.roll(volume(4)[1], 2, axis=2)}), case, tmp_path / "p")
    assert CHALLENGE.scorer.score_file(case, path).scores["hd95_rv"].value == pytest.approx(3)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        (
            {"img": np.full((2, 8, 8), 300.0), "label": np.zeros((2, 8, 8), np.uint8)},
            "values from 0 to 300",
        ),
        ({"label": np.zeros((2, 8, 8), np.uint8)}, "no array 'img'"),
        ({"img": np.zeros((2, 8, 8)), "label": np.full((2, 8, 8), 255, np.uint8)}, "label values 255"),
    ],
)
def test_bad_files_are_named(tmp_path, arrays, told):
    (tmp_path / "test").mkdir()
    hdf5.write_arrays(tmp_path / "test" / "case_002_volume_ED.npz", arrays)
    findings = [f for f in CHALLENGE.release.check(tmp_path) if f.severity == "error"]
    assert len(findings) == 1
    assert told in findings[0].message
    assert "case_002_volume_ED.npz" in findings[0].message


def test_a_patient_in_two_splits_is_an_error(prepared, tmp_path):
    image, labels = volume(0)
    for folder, name in (("train", "case_002_sliceED_0"), ("test", "case_002_volume_ED")):
        (tmp_path / folder).mkdir()
        hdf5.write_arrays(tmp_path / folder / f"{name}.npz", {"img": image[0], "label": labels[0]})
    assert any("case_002 lies in train" in finding.message for finding in CHALLENGE.release.check(tmp_path))


def test_a_split_without_patients_is_told(tmp_path):
    image, labels = volume(0)
    hdf5.write_arrays(tmp_path / "patient001_frame01.h5", {"image": image, "label": labels})
    with pytest.raises(MedbenchError, match="holds no patient of split test"):
        CHALLENGE.cases(tmp_path, "test")


def test_the_published_row_has_its_source():
    (row,) = CHALLENGE.published()
    assert row["metrics"] == {"dice_transunet_rv": 0.9038}
    assert "2505.18823" in row["source"]


@pytest.mark.slow
def test_mslau_net_scores_the_real_volumes(shared_data, tmp_path):
    root = shared_data / "acdc"
    finished = run(
        "mslau_net.test",
        "acdc",
        data=root,
        weights="none",
        inference=Inference(image_size=64),
        runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )
    assert finished.exit_code == 0
    assert finished.record.challenge.present_cases == 24
    assert finished.record.challenge.subset
    assert finished.record.counts.ok == 7
    for name in SPACED:
        assert finished.record.metrics[name].value is None
        assert finished.record.metrics[name].undefined == 7
    assert finished.record.metrics["dice_transunet"].scored == 7
