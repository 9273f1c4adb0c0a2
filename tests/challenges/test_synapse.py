"""Synapse multi-organ CT: both protocols, both file families, the slice-wise protocol, bad files."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.ndimage
import torch

import medbench
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.challenges.synapse.files import ORGANS, TEST_CASES, TRAIN_CASES
from medbench.challenges.synapse.sample import draw_case, write_nifti, write_sample
from medbench.challenges.synapse.volumes import LABEL_OF_BTCV, read_case_image
from medbench.core.case import Volume
from medbench.core.sample import Sample
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.io import hdf5, nifti_mha
from medbench.io.raster import spline_zoom
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run

CHALLENGE = load_challenge("synapse")
FACTS, ARRAYS = golden("brau_mslau_metrics")
NAMES = {label: organ for organ, label in ORGANS.items()}


@pytest.fixture
def release(small_synapse, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(small_synapse, tmp_path / "synapse")


@pytest.fixture(scope="module")
def nifti(tmp_path_factory):
    """The same volumes as the prepared ones, as BTCV releases them."""
    root = tmp_path_factory.mktemp("btcv")
    write_nifti(root, {"train": (5, 6), "test": (1, 8, 22)}, n_slices=8, size=64)
    return root


def answers(data, folder, change=lambda labels: labels):
    folder.mkdir()
    for case in CHALLENGE.cases(data, "test"):
        reference = CHALLENGE.release.read_reference(case)
        path = folder / CHALLENGE.exchange.prediction_name(case)
        geometry = (reference.spacing, reference.origin, reference.direction)
        nifti_mha.write_volume(path, Volume(change(reference.array.copy()), *geometry))
    return folder


def test_the_lists_are_the_thirty_volumes_of_btcv():
    assert sorted((*TRAIN_CASES, *TEST_CASES)) == [*range(1, 11), *range(21, 41)]
    assert (len(TRAIN_CASES), len(TEST_CASES)) == (18, 12)
    assert set(LABEL_OF_BTCV.values()) == {0, *ORGANS.values()}


@pytest.mark.parametrize("entry", FACTS["percase"], ids=lambda entry: entry["id"])
def test_the_biased_columns_are_those_of_the_authors_program(entry):
    scores = CHALLENGE.score_arrays(ARRAYS[f"{entry['id']}/gt"], ARRAYS[f"{entry['id']}/pred"])
    for label, (dice, hd95) in enumerate(entry["dice_hd95_per_class"], start=1):
        assert scores[f"dice_transunet_{NAMES[label]}"].value == pytest.approx(dice, abs=1e-12)
        assert scores[f"hd95_transunet_{NAMES[label]}"].value == pytest.approx(hd95, abs=1e-12)
    organs = range(entry["n_classes"], 9)
    assert all(scores[f"dice_transunet_{NAMES[label]}"].value == 0 for label in organs)
    assert scores["dice_transunet"].value == pytest.approx(entry["mean_dice"] * (entry["n_classes"] - 1) / 8)


def test_the_zoom_of_the_protocol_is_scipys():
    small = spline_zoom(ARRAYS["zoom/image"], 14, 16)
    assert np.allclose(small, ARRAYS["zoom/image_to_14x16_order3"], atol=1e-12)
    back = spline_zoom(ARRAYS["zoom/label"], 37, 29, order=0)
    assert np.array_equal(back, ARRAYS["zoom/label_to_37x29_order0"])


class Bands(torch.nn.Module):
    """Class k where the first channel is nearest k / 8; the kernel makes neighbours count."""

    def __init__(self):
        super().__init__()
        self.smooth = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
        torch.nn.init.constant_(self.smooth.weight, 1 / 9)

    def forward(self, images):
        level = self.smooth(images[:, :1])
        return -((level - torch.linspace(-1, 1, 9).view(1, 9, 1, 1)) ** 2)


def test_a_volume_goes_slice_by_slice_as_in_the_authors_program(small_synapse):
    (case, *_) = CHALLENGE.cases(small_synapse, "test")
    sample = CHALLENGE.read(case)
    contract = InputContract(32, mean=(0.5,) * 3, std=(0.5,) * 3, resampling=CHALLENGE.card.resampling)
    network = Bands()
    found = NetworkPredictor(network, contract, batch_size=3).predict(sample)["label_map"]
    expected = []
    for plane in sample.images[..., 0]:
        small = scipy.ndimage.zoom(plane, (32 / 64, 32 / 64), order=3)
        tensor = torch.from_numpy(((small - 0.5) / 0.5).astype(np.float32))[None, None].repeat(1, 3, 1, 1)
        with torch.inference_mode():
            labels = network(tensor).softmax(1).argmax(1)[0].numpy()
        expected.append(scipy.ndimage.zoom(labels, (64 / 32, 64 / 32), order=0))
    assert len(np.unique(found)) > 4
    assert np.array_equal(found, np.stack(expected))


def test_floating_point_pictures_are_not_divided_by_255():
    images = np.linspace(0, 1, 2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 1)
    prepared = InputContract(None, mean=(0.5,) * 3, std=(0.5,) * 3).prepare(images)
    assert prepared.shape == (2, 3, 8, 8)
    assert np.allclose(prepared[:, 1], (images[..., 0] - 0.5) / 0.5)


def test_a_single_channel_of_logits_is_foreground_from_0_up(small_synapse):
    class Level(torch.nn.Module):
        def forward(self, images):
            return images[:, :1] - 0.5

    (case, *_) = CHALLENGE.cases(small_synapse, "test")
    images = np.array([[[[0.4], [0.5]], [[0.6], [0.1]]]], np.float32)
    sample = Sample(case, images, frozenset({"label_map"}))
    labels = NetworkPredictor(Level(), InputContract(2)).predict(sample)["label_map"]
    assert labels.tolist() == [[[0, 1], [1, 0]]]


def test_the_unbiased_columns_are_in_mm_and_reward_nothing_that_is_wrong():
    reference, prediction = np.zeros((2, 6, 20, 20), np.uint8)
    reference[1:4, 4:9, 4:9] = 1
    prediction[1:4, 4:9, 6:11] = 1
    reference[1:4, 12:15, 3:6] = 2
    prediction[0:2, 15:18, 15:18] = 3
    spacing = (5.0, 0.8, 0.8)
    scores = CHALLENGE.score_arrays(reference, prediction, spacing)
    diagonal = float(np.linalg.norm(np.array([6, 20, 20]) * spacing))
    hd95 = medbench.score("hd95.pooled", reference, prediction, spacing=spacing, label=1).value
    assert scores["hd95_spleen"].value == hd95
    assert scores["hd95_transunet_spleen"].value != hd95
    assert scores["dice_rightkidney"].value == 0
    assert scores["hd95_rightkidney"].value == pytest.approx(diagonal)
    assert scores["dice_leftkidney"].value == 0
    assert scores["hd95_leftkidney"].value == pytest.approx(diagonal)
    assert scores["dice_transunet_leftkidney"].value == 1
    assert scores["hd95_transunet_rightkidney"].value == 0
    assert scores["dice_liver"].value is None
    assert scores["hd95_liver"].value is None
    assert scores["dice"].value == pytest.approx(scores["dice_spleen"].value / 3)
    assert scores["hd95"].value == pytest.approx((hd95 + 2 * diagonal) / 3)


def test_a_single_slice_is_scored_as_a_picture():
    reference, prediction = np.zeros((2, 1, 30, 30), np.uint8)
    reference[0, 5:15, 5:15] = 1
    prediction[0, 7:17, 5:15] = 1
    scores = CHALLENGE.score_arrays(reference, prediction, (5.0, 1.0, 1.0))
    flat = medbench.score("hd95.pooled", reference[0], prediction[0], spacing=(1.0, 1.0)).value
    assert scores["hd95_spleen"].value == flat == 2.0


def test_prepared_and_nifti_files_hold_the_same_cases(small_synapse, nifti):
    for first, second in zip(
        CHALLENGE.cases(small_synapse, "test"), CHALLENGE.cases(nifti, "test"), strict=True
    ):
        assert (first.id, first.group) == (second.id, second.group)
        assert np.allclose(CHALLENGE.read(first).images, CHALLENGE.read(second).images, atol=1e-6)
        one, other = CHALLENGE.release.read_reference(first), CHALLENGE.release.read_reference(second)
        assert np.array_equal(one.array, other.array)
        assert one.spacing == pytest.approx(other.spacing, abs=1e-4)


def test_right_answers_score_1_and_0_mm_on_both(small_synapse, nifti, tmp_path):
    for data, name in ((small_synapse, "prepared"), (nifti, "nifti")):
        finished = evaluate("synapse", answers(data, tmp_path / name), data=data)
        metrics = finished.record.metrics
        assert finished.exit_code == 0
        assert (metrics["dice"].value, metrics["hd95"].value) == (1, 0)
        assert metrics["hd95"].unit == "mm"
        assert finished.record.challenge.subset
        assert finished.record.challenge.released_cases == 12


def test_without_spacing_distances_in_mm_are_undefined_and_the_others_stand(release, tmp_path):
    (release / "spacing.csv").unlink()
    finished = evaluate("synapse", answers(release, tmp_path / "p"), data=release)
    metrics = finished.record.metrics
    assert metrics["hd95"].value is None
    assert metrics["hd95"].undefined == 3
    assert metrics["dice"].value == 1
    assert metrics["hd95_transunet"].value == 0
    assert "spacing" in finished.rows[0].scores["hd95"].reason


@pytest.mark.parametrize("ending", [".npz", ".npy.h5"])
def test_predictions_may_be_arrays_under_the_bare_name(small_synapse, tmp_path, ending):
    for case in CHALLENGE.cases(small_synapse, "test"):
        labels = CHALLENGE.release.read_reference(case).array
        hdf5.write_arrays(tmp_path / f"{case.id}{ending}", {"label": labels})
    assert evaluate("synapse", tmp_path, data=small_synapse).record.metrics["dice"].value == 1


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scale_labels(path):
    arrays = hdf5.read_arrays(path, "image", "label")
    hdf5.write_arrays(path, {"image": arrays["image"], "label": (arrays["label"] > 0) * np.uint8(255)})


def keep_hounsfield(path):
    arrays = hdf5.read_arrays(path, "image", "label")
    hdf5.write_arrays(path, {"image": arrays["image"] * 400 - 125, "label": arrays["label"]})


def rename_array(path):
    with h5py.File(path, "r+") as file:
        file.move("label", "mask")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(truncate, "not a readable"), (keep_hounsfield, "-125"), (Path.unlink, "no such file")],
)
def test_a_bad_volume_fails_alone_in_one_line_that_names_it(release, spoil, told, monkeypatch):
    path = release / "test_vol_h5" / "case0008.npy.h5"
    cases = CHALLENGE.cases(release, "test")
    spoil(path)
    monkeypatch.setattr(type(CHALLENGE.release), "cases", lambda self, root, split: cases)
    finished = run("smp/unet", "synapse", data=release, weights="none", inference=FAST, options=OPTIONS)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert bad.case == "case0008"
    assert bad.reason.startswith("{data}/test_vol_h5/case0008.npy.h5: ")
    assert told in bad.reason
    assert "\n" not in bad.reason
    assert finished.exit_code == 1
    assert finished.record.metrics["dice"].scored == 2


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(truncate, "not a readable"), (scale_labels, "255"), (rename_array, "no array 'label'")],
)
def test_a_bad_reference_is_named_and_enters_no_mean(release, tmp_path, spoil, told):
    folder = answers(release, tmp_path / "p")
    path = release / "test_vol_h5" / "case0008.npy.h5"
    spoil(path)
    finished = evaluate("synapse", folder, data=release)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert bad.reason.startswith("{data}/test_vol_h5/case0008.npy.h5: ")
    assert told in bad.reason
    assert finished.record.metrics["dice"].value == 1
    assert finished.record.metrics["dice"].undefined == 1
    assert finished.exit_code == 1
    assert any(
        told in finding.message for finding in CHALLENGE.release.check(release) if finding.severity == "error"
    )


def test_a_missing_or_bad_prediction_scores_the_worst(small_synapse, tmp_path):
    folder = answers(small_synapse, tmp_path / "p")
    (folder / "case0001_pred.nii.gz").unlink()
    nifti_mha.write_volume(folder / "case0008_pred.nii.gz", Volume(np.zeros((8, 32, 64), np.uint8)))
    finished = evaluate("synapse", folder, data=small_synapse)
    rows = {row.case: row for row in finished.rows}
    assert {case: row.status for case, row in rows.items()} == {
        "case0001": "missing", "case0008": "failed", "case0022": "ok",
    }  # fmt: skip
    assert "8×32×64" in rows["case0008"].reason
    assert finished.record.metrics["dice"].value == pytest.approx(1 / 3)
    voxels = float(np.linalg.norm([8, 64, 64]))
    assert finished.record.metrics["hd95_transunet"].value == pytest.approx(2 / 3 * voxels)
    spacing = CHALLENGE.cases(small_synapse, "test")[0].facts["spacing_mm"]
    expected = float(np.linalg.norm(np.array([8, 64, 64]) * spacing))
    assert rows["case0001"].scores["hd95"].value == pytest.approx(expected)


def test_a_prediction_on_another_grid_or_in_btcvs_numbers_is_refused(nifti, tmp_path):
    folder = answers(nifti, tmp_path / "p")
    path = folder / "case0008_pred.nii.gz"
    volume = nifti_mha.read_volume(path)
    moved = tuple(value + 10 for value in volume.origin)
    nifti_mha.write_volume(path, Volume(volume.array, volume.spacing, moved, volume.direction))
    other = folder / "case0022_pred.nii.gz"
    volume = nifti_mha.read_volume(other)
    numbers = np.array([0, 1, 2, 3, 4, 6, 7, 8, 11], np.uint8)[volume.array]
    nifti_mha.write_volume(other, Volume(numbers, volume.spacing, volume.origin, volume.direction))
    reasons = {row.case: row.reason for row in evaluate("synapse", folder, data=nifti).rows}
    assert "origin" in reasons["case0008"]
    assert "11" in reasons["case0022"]
    assert reasons["case0001"] == ""


FAST = Inference(image_size=32)
OPTIONS = {"encoder": "resnet18"}


def test_a_run_writes_label_volumes_with_their_spacing(nifti):
    finished = run("smp/unet", "synapse", data=nifti, weights="none", inference=FAST, options=OPTIONS)
    assert finished.exit_code == 0
    for case in CHALLENGE.cases(nifti, "test"):
        written = nifti_mha.read_volume(
            finished.folder / "predictions" / CHALLENGE.exchange.prediction_name(case)
        )
        assert written.shape == (8, 64, 64)
        assert written.spacing == pytest.approx(CHALLENGE.release.read_reference(case).spacing, abs=1e-4)


def test_training_slices_are_resized_as_in_the_protocol_and_kept(small_synapse, nifti, tmp_path):
    slices = CHALLENGE.exchange.inputs["image"].examples(small_synapse, "train", tmp_path / "a")
    volumes = CHALLENGE.exchange.inputs["image"].examples(nifti, "train", tmp_path / "b")
    assert len(slices) == len(volumes) == 16
    assert {image.group for image in slices} == {image.group for image in volumes} == {"case0005", "case0006"}
    for first, second in zip(slices[::5], volumes[::5], strict=True):
        picture, labels = first.load(32)
        assert (picture.shape, picture.dtype) == ((32, 32, 3), np.float32)
        assert 0 <= picture.min() < picture.max() <= 1
        other, other_labels = second.load(32)
        assert np.allclose(picture, other, atol=1e-5)
        assert np.array_equal(labels, other_labels)
    case = CHALLENGE.cases(small_synapse, "train")[5]
    plane = read_case_image(case.inputs["image"]).array[0]
    expected = np.clip(scipy.ndimage.zoom(plane, 0.5, order=3), 0, 1)
    assert np.allclose(slices[5].load(32)[0][..., 1], expected, atol=1e-6)


def test_the_check_tells_volumes_in_the_wrong_split_and_copies(release):
    clean = CHALLENGE.release.check(release)
    assert not [finding for finding in clean if finding.severity == "error"]
    assert any("test: 3 of the release's 12 volumes" in finding.message for finding in clean)
    assert any("train: 16 of the release's 2211 slices" in finding.message for finding in clean)
    shutil.copy(release / "test_vol_h5/case0008.npy.h5", release / "test_vol_h5/case0022.npy.h5")
    shutil.copy(release / "train_npz/case0005_slice003.npz", release / "train_npz/case0008_slice000.npz")
    messages = [finding.message for finding in CHALLENGE.release.check(release)]
    assert any("case0008: lies in train" in message for message in messages)
    assert any("case0022.npy.h5: the same image as" in message for message in messages)


def test_the_sample_depends_on_the_case_number_alone(tmp_path):
    write_sample(tmp_path / "a", {"train": (), "test": (1, 8)}, n_slices=3, size=32)
    write_sample(tmp_path / "b", {"train": (5,), "test": (8,)}, n_slices=3, size=32)
    name = "test_vol_h5/case0008.npy.h5"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "b/lists/lists_Synapse/test_vol.txt").read_text() == "case0008\n"
    assert "case0005_slice002" in (tmp_path / "b/lists/lists_Synapse/train.txt").read_text().split()


def test_every_organ_is_drawn_in_every_volume_of_the_sample():
    for number in (1, 5, 22):
        counts = np.bincount(draw_case(number, 18, 128).labels.ravel(), minlength=9)
        assert (counts[1:] > 50).all(), (number, counts)


def test_a_real_ct_is_read_with_its_spacing(shared_data):
    volume = read_case_image(shared_data / "synapse_substitute/totalsegmentator_example/example_ct.nii.gz")
    assert volume.shape == (112, 101, 122)
    assert volume.spacing == (3.0, 3.0, 3.0)
    assert (volume.array.min(), volume.array.max()) == (0, 1)
