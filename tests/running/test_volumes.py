"""Runs on volumes: windows, missing modalities, all combinations, bad cases, leaks between splits."""

import dataclasses
import shutil

import numpy as np
import pytest

import medbench
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.io.nifti_mha import read_volume, write_volume
from medbench.running.combinations import run_combinations
from medbench.running.modalities import all_combinations, known_modalities, with_modalities
from medbench.running.predict import predict
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
BRATS = medbench.load_challenge("brats2020")
MODEL, OPTIONS = "monai/unet", {"channels": [8, 8], "num_res_units": 0}
WINDOWS = Inference(image_size=32, overlap=0.0)


@pytest.fixture(scope="module")
def release(sample, tmp_path_factory):
    """Two training and two test heads, cut to the middle, in the layout of 2020."""
    root, whole = tmp_path_factory.mktemp("brats2020"), sample("brats2020")
    for split, cases in (("train", "001 002"), ("test", "009 010")):
        for number in cases.split():
            for path in (whole / split / f"BraTS20_Training_{number}").iterdir():
                volume = read_volume(path)
                middle = volume.array[4:36, 12:60, 8:56]
                moved = Volume(middle, volume.spacing, volume.origin, volume.direction)
                write_volume(root / split / path.parent.name / path.name, moved)
    return root


@pytest.fixture
def copy(release, tmp_path):
    return shutil.copytree(release, tmp_path / "copy")


def go(root, inference=WINDOWS, **others):
    return run(MODEL, "brats2020", data=root, weights="none", options=OPTIONS, inference=inference, **others)


def labels_of(finished, case):
    return read_volume(finished.folder / "predictions" / f"{case}.nii.gz").array


def test_a_run_on_volumes_is_recorded_and_resumed(release):
    finished = go(release)
    assert finished.exit_code == 0
    assert finished.record.settings == {
        "device": "cpu", "precision": "fp32", "batch_size": 1, "image_size": 32, "cases": "*", "overlap": 0.0,
        "mirror": False,
    }  # fmt: skip
    assert finished.record.metrics["dice_wt"].scored == 2
    assert set(finished.record.time_s) == {"read", "preprocess", "forward", "postprocess", "write", "score"}
    assert go(release).resumed == 2
    case = BRATS.cases(release, "test")[0]
    written, flair = (read_volume(path) for path in (
        finished.folder / "predictions" / f"{case.id}.nii.gz", case.inputs["t2f"]))  # fmt: skip
    assert written.array.dtype == np.uint8
    assert (written.spacing, written.origin, written.direction) == (
        flair.spacing, flair.origin, flair.direction)  # fmt: skip


def test_mirrors_windows_and_batches_are_settings(release):
    plain, mirrored = go(release), go(release, dataclasses.replace(WINDOWS, mirror=True))
    assert mirrored.folder != plain.folder
    assert "--mirror" in mirrored.record.command
    assert "--overlap 0.0" in plain.record.command
    assert not np.array_equal(*(labels_of(f, "BraTS20_Training_009") for f in (plain, mirrored)))
    batched = go(release, dataclasses.replace(WINDOWS, batch_size=4))
    assert np.array_equal(*(labels_of(f, "BraTS20_Training_009") for f in (plain, batched)))


def test_sequences_that_are_hidden_equal_sequences_that_are_absent(release, copy, tmp_path):
    chosen = go(
        release, dataclasses.replace(WINDOWS, modalities=("T1", "flair")), leaderboards=tmp_path / "boards"
    )
    for path in [*copy.rglob("*_t1ce.nii.gz"), *copy.rglob("*_t2.nii.gz")]:
        path.unlink()
    absent = go(copy)
    for case in ("BraTS20_Training_009", "BraTS20_Training_010"):
        assert np.array_equal(labels_of(chosen, case), labels_of(absent, case))
        assert not np.array_equal(labels_of(chosen, case), labels_of(go(release), case))
    assert chosen.record.settings["modalities"] == ["t2f", "t1n"]
    assert "--modalities t2f,t1n" in chosen.record.command
    assert chosen.record.challenge.manifest_sha256 == go(release).record.challenge.manifest_sha256
    assert not (tmp_path / "boards").exists()


def test_a_case_without_any_of_them_fails_alone(copy):
    for path in copy.rglob("*009_flair.nii.gz"):
        path.unlink()
    finished = go(copy, dataclasses.replace(WINDOWS, modalities=("flair",)))
    assert [row.status for row in finished.rows] == ["failed", "ok"]
    assert "has none of the modalities asked for (t2f)" in finished.rows[0].reason
    assert finished.exit_code == 1
    assert finished.rows[0].scores["hd95_wt"].value == 374


def test_bad_volumes_fail_alone(copy):
    path = next(copy.rglob("*009_t1.nii.gz"))
    path.write_bytes(path.read_bytes()[:500])
    finished = go(copy)
    assert [row.status for row in finished.rows] == ["failed", "ok"]
    assert finished.rows[0].reason.startswith(f"{{data}}/{path.relative_to(copy).as_posix()}:")


def test_names_of_sequences():
    assert known_modalities(BRATS, ("t1", "FLAIR")) == ("t2f", "t1n")
    assert known_modalities(BRATS, ("t2", "t1ce", "t1", "flair")) is None
    with pytest.raises(MedbenchError, match="no modality named 't1x'") as caught:
        known_modalities(BRATS, ("t1x",))
    assert "t1" in caught.value.hint
    with pytest.raises(MedbenchError, match="No modality is left"):
        known_modalities(BRATS, ())
    with pytest.raises(MedbenchError, match="one kind of image"):
        known_modalities(medbench.load_challenge("cvc_clinicdb"), ("t1",))
    with pytest.raises(MedbenchError, match="has none of the modalities"):
        with_modalities(Case("c", {}), ("t1n",))


def test_combinations_stand_in_the_order_of_published_tables():
    found = all_combinations(BRATS)
    assert len(found) == len(set(found)) == 15
    order = tuple(BRATS.card.modalities)
    assert order == ("t2f", "t1c", "t1n", "t2w")
    bits = ["".join("01"[name in seen] for name in order) for seen in found]
    assert bits == [
        "0001", "0100", "0010", "1000", "0101", "0110", "1010", "0011", "1001", "1100", "1110", "1011",
        "1101", "0111", "1111",
    ]  # fmt: skip
    myops = all_combinations(medbench.load_challenge("myops2020"))
    assert myops[0] == ("T2",)
    assert myops[-1] == ("C0", "DE", "T2")
    assert len(set(myops)) == 7


@pytest.mark.slow
def test_the_table_over_all_combinations(release, tmp_path):
    result = run_combinations(
        MODEL, "brats2020", data=release, weights="none", options=OPTIONS, inference=WINDOWS,
        cases="*_009", leaderboards=tmp_path,
    )  # fmt: skip
    assert len(result.runs) == 15
    assert len({finished.folder for finished in result.runs}) == 15
    last = result.runs[-1].record
    assert "modalities" not in last.settings
    assert list(result.tables()) == ["brats2022", "brats2022, as papers on missing modalities"]
    values = result.values("dice_wt")
    assert values[-1] == last.metrics["dice_wt"].value
    assert len(set(values)) > 5
    assert result.mean("dice_wt") == pytest.approx(sum(values) / 15)
    markdown = (result.folder / "table.md").read_text()
    header = next(line for line in markdown.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.split("|")[1:-1]] == ["", *map(str, range(1, 16)), "mean"]
    flair = next(line for line in markdown.splitlines() if line.startswith("| FLAIR"))
    assert [cell.strip() for cell in flair.split("|")[2:-2]] == list("○○○●○○●○●●●●●○●")
    dice = next(line for line in markdown.splitlines() if line.startswith("| Dice WT"))
    assert [cell.strip() for cell in dice.split("|")[2:-1]] == [
        f"{value:.4f}" for value in (*values, result.mean("dice_wt"))
    ]
    tex = (result.folder / "table.tex").read_text()
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") == 2
    assert tex.count(r"\midrule") == 4
    assert tex.isascii()
    rows = [line for line in tex.splitlines() if line.rstrip().endswith(r"\\")]
    assert {row.count("&") for row in rows} == {16}
    assert result.as_json()["mean"]["dice_wt"] == result.mean("dice_wt")


def test_what_is_for_volumes_is_refused_for_images(release):
    with pytest.raises(MedbenchError, match="sees images; --overlap"):
        run("dssau_net.test", "brats2020", data=release, weights="none", inference=Inference(overlap=0.5))
    with pytest.raises(MedbenchError, match=r"sees volumes; cases of .* are images"):
        run(MODEL, "cvc_clinicdb", weights="none")
    with pytest.raises(MedbenchError, match=r"An overlap of 1 lies outside 0 ≤ x < 1"):
        Inference(overlap=1.0)


def test_a_network_of_slices_needs_one_of_its_channels(release, tmp_path):
    rows = predict(
        "dssau_net.test", "brats2020", tmp_path, data=release, weights="none",
        inference=Inference(image_size=128, modalities=("t1",)),
    )  # fmt: skip
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "sees t1c, t2f, t2w alone" in rows[0].reason


def test_weights_of_a_split_that_shares_cases_are_refused(release):
    with pytest.raises(
        MedbenchError, match="learnt from the split train, which shares cases with all"
    ) as caught:
        run(MODEL, "brats2020", data=release, split="all", options=OPTIONS)
    assert caught.value.code == "weights.leak"
    assert caught.value.hint == "Every training split shares cases with all: predict val or test instead."
    short = {"epochs": 1, "patches": 1, "batch_size": 1}
    weights = train(
        MODEL, "brats2020", data=release, split="all", recipe="quick", recipe_changes=short, options=OPTIONS
    )
    with pytest.raises(MedbenchError, match="split all, which shares cases with test") as caught:
        run(MODEL, "brats2020", data=release, weights=weights, options=OPTIONS)
    assert caught.value.hint == "Train with --split train."


@pytest.mark.slow
def test_training_on_patches_lowers_the_loss_and_run_finds_it(release):
    changes = {"epochs": 12, "patches": 4, "hide_sequences": False, "learning_rate": 1e-2}
    weights = train(MODEL, "brats2020", data=release, recipe="quick", recipe_changes=changes, options=OPTIONS)
    learnt = run(MODEL, "brats2020", data=release, options=OPTIONS, inference=WINDOWS)
    assert learnt.record.model.weights == "trained"
    assert learnt.record.model.training["recipe"]["patches"] == 4
    assert learnt.record.settings["image_size"] == 32
    assert learnt.record.metrics["dice_wt"].value > 0.5 > go(release).record.metrics["dice_wt"].value
    assert weights.exists()
