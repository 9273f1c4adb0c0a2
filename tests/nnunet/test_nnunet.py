"""nnU-Net among the networks: data sets, folds, training, resumption, foreign models, refusals."""

import json
import os
import shutil
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: the extra 'nnunet'")

import torch

import warm_python
from medbench.inference.weights import load_checkpoint
from medbench.io.nifti_mha import write_volume
from medbench.nnunet.data import split_folds, write_raw
from medbench.nnunet.files import import_weights, load_safely
from medbench.nnunet.labels import channel_order, class_table
from medbench.nnunet.predictor import NnunetPredictor
from medbench.nnunet.recipe import NnunetRecipe
from medbench.running.run import run
from medbench.running.train import train
from medbench.training.hardware import Hardware

pytestmark = pytest.mark.usefixtures("one_thread")

UPRIGHT = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
TINY = {"epochs": 3, "steps": 2, "validation_steps": 1, "image_size": 32}


class Told(SilentProgress):
    """Keeps the lines; may be interrupted after an epoch."""

    def __init__(self, interrupt_at=None):
        self.lines, self.notes, self.interrupt_at = [], [], interrupt_at

    def say(self, line):
        self.lines.append(line)

    def advance(self, steps=1, note=""):
        self.notes.append(note)
        if self.interrupt_at and note.startswith(self.interrupt_at):
            raise KeyboardInterrupt


def refused(code, action):
    with pytest.raises(MedbenchError) as caught:
        action()
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return caught.value


def train_tiny(root, runs, progress=None, workers=0):
    return train(
        "nnunet.test", "cvc_clinicdb", data=root, recipe="quick", recipe_changes=TINY, runs=runs,
        progress=progress, hardware=Hardware("cpu", 1, workers=workers),
    )  # fmt: skip


IMPORTED = (
    "acvl_utils.cropping_and_padding.bounding_boxes", "batchgeneratorsv2.transforms.spatial.spatial",
    "dynamic_network_architectures", "matplotlib.pyplot", "nibabel", "seaborn", "SimpleITK", "skimage.io",
    "torch._dynamo",
)  # fmt: skip
"""What nnU-Net imports, but for its own modules, which keep the folders that they find on import."""


@pytest.fixture(scope="module")
def nursery():
    """A process from which nnU-Net's are forked, as its imports take longer than its tiny trainings."""
    nursery = warm_python.Nursery(*IMPORTED)
    own = SimpleNamespace(**{**vars(subprocess), "Popen": nursery.Popen})
    yield own
    nursery.close()


@pytest.fixture
def warm(nursery, monkeypatch):
    monkeypatch.setattr("medbench.nnunet.training.subprocess", nursery)


@pytest.fixture(scope="module")
def trained(nursery, small_cvc, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medbench.nnunet.training.subprocess", nursery)
        return train_tiny(small_cvc, tmp_path_factory.mktemp("runs"))


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def predictor_of(folder, cache):
    checkpoint = load_checkpoint(import_weights(folder, "nnunet", cache))
    return NnunetPredictor(
        checkpoint, load_challenge("cvc_clinicdb"), device="cpu", overlap=0.5, mirror=False
    )


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parents[1]))
    return path


def test_no_group_is_in_both_parts_of_a_fold():
    groups = [f"patient {index // 3}" for index in range(30)]
    folds = split_folds(groups)
    assert len(folds) == 5
    owner = {f"case_{index:05d}": group for index, group in enumerate(groups)}
    for fold in folds:
        assert len(fold["val"]) == 6
        assert sorted(fold["train"] + fold["val"]) == sorted(owner)
        assert not {owner[case] for case in fold["train"]} & {owner[case] for case in fold["val"]}
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(owner)
    assert split_folds(["one", "one"]) == []


def test_pictures_become_a_raw_data_set(small_cvc, tmp_path):
    from medbench.io.raster import read_image, read_label_map

    challenge = load_challenge("cvc_clinicdb")
    groups = write_raw(
        challenge, small_cvc, "train", 32, tmp_path / "raw", tmp_path / "cache", SilentProgress()
    )
    images = challenge.exchange.inputs["image"].examples(small_cvc, "train", tmp_path / "cache")
    assert groups == [image.group for image in images]
    described = json.loads((tmp_path / "raw" / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert list(described["labels"].values()) == [0, 1]
    assert (described["numTraining"], described["file_ending"]) == (len(images), ".png")
    picture, labels = images[3].load(32)
    np.testing.assert_array_equal(read_image(tmp_path / "raw" / "imagesTr" / "case_00003_0000.png"), picture)
    np.testing.assert_array_equal(read_label_map(tmp_path / "raw" / "labelsTr" / "case_00003.png"), labels)


def test_folder_and_archive_of_nnunet_answer_the_same(model_folder, tmp_path, small_cvc):
    challenge = load_challenge("cvc_clinicdb")
    sample = challenge.read(challenge.cases(small_cvc, "test")[0])
    first = predictor_of(model_folder, tmp_path / "cache").predict(sample)["label_map"]
    again = predictor_of(zipped(model_folder, tmp_path / "model.zip"), tmp_path / "other")
    assert first.shape == sample.images.shape[:3]
    assert 0 < first.mean() < 1
    np.testing.assert_array_equal(first, again.predict(sample)["label_map"])


def test_labels_in_another_order_are_put_right():
    challenge = SimpleNamespace(labels={0: "none", 1: "edema", 4: "enhancing tumour"}, title="T")
    dataset = {"labels": {"background": 0, "Enhancing_Tumour": 1, "Edema": 2}}
    assert class_table(dataset, challenge, "model").tolist() == [0, 2, 1]
    refused("nnunet.labels", lambda: class_table({"labels": {"background": 0, "edema": 1}}, challenge, "m"))
    whole = {"labels": {"background": 0, "whole": [1, 2], "edema": [2]}}
    assert "whole" in refused("nnunet.regions", lambda: class_table(whole, challenge, "m")).message


def test_channels_match_by_any_name():
    card = SimpleNamespace(modalities={"t1n": ("t1",), "t1c": ("t1ce", "t1gd")})
    challenge = SimpleNamespace(card=card, title="T")
    order = channel_order({"channel_names": {"0": "T1ce", "1": "T1"}}, challenge, "model")
    assert order == [1, 0]
    error = refused(
        "nnunet.channels", lambda: channel_order({"channel_names": {"0": "CT", "1": "T1"}}, challenge, "m")
    )
    assert "CT" in error.message


def test_a_folder_without_plans_is_refused(tmp_path):
    refused("nnunet.no_plans", lambda: import_weights(tmp_path, "nnunet", tmp_path / "cache"))


def test_code_in_a_checkpoint_is_refused_and_does_not_run(model_folder, tmp_path):
    mark = tmp_path / "ran"

    class Code:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    path = model_folder / "fold_0" / "checkpoint_final.pth"
    assert load_safely(path)["_best_ema"] == 0.5
    torch.save({"network_weights": {}, "trainer_name": Code(), "init_args": {}}, path)
    refused("weights.unsafe", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert not mark.exists()


def test_plans_that_name_other_things_than_layers_are_refused(model_folder, tmp_path):
    plans = json.loads((model_folder / "plans.json").read_text())
    plans["configurations"]["2d"]["architecture"]["network_class_name"] = "subprocess.run"
    change(model_folder / "plans.json", **plans)
    error = refused("weights.unsafe", lambda: import_weights(model_folder, "nnunet", tmp_path / "cache"))
    assert "subprocess.run" in error.message


@pytest.mark.parametrize("name", ["../plans.json", "/plans.json", "a/../../plans.json", "..\\plans.json"])
def test_archives_write_nothing_outside_their_folder(name, tmp_path):
    path = tmp_path / "inner" / "model.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "{}")
    refused("archive.outside", lambda: import_weights(path, "nnunet", tmp_path / "inner" / "cache"))
    assert not list(tmp_path.rglob("plans.json"))


def test_models_of_other_data_are_refused(model_folder, tmp_path):
    change(model_folder / "dataset.json", channel_names={"0": "T1"})
    refused("nnunet.channels", lambda: predictor_of(model_folder, tmp_path / "cache"))
    change(model_folder / "dataset.json", labels={"background": 0, "liver": 1})
    assert "liver" in refused("nnunet.labels", lambda: predictor_of(model_folder, tmp_path / "cache")).message


def test_what_cannot_be_is_refused_at_once(small_cvc, tmp_path, monkeypatch):
    refused("model.task", lambda: run("nnunet", "iugc2024"))
    refused("weights.planned", lambda: run("nnunet", "cvc_clinicdb", data=small_cvc, weights="none"))
    volumes = {"configuration": "3d_fullres"}
    refused("model.option", lambda: run("nnunet", "cvc_clinicdb", data=small_cvc, options=volumes))
    refused("recipe.setting", lambda: NnunetRecipe("r", "", folds=7))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = refused("nnunet.missing", lambda: run("nnunet", "cvc_clinicdb", data=small_cvc))
    assert "medbench[nnunet]" in missing.hint


@pytest.mark.slow
def test_trained_weights_predict_and_score(trained, small_cvc, tmp_path):
    finished = run(
        "nnunet.test", "cvc_clinicdb", data=small_cvc, weights=trained, runs=tmp_path, leaderboards=tmp_path
    )
    record = finished.record
    assert (record.counts.ok, record.counts.failed) == (len(finished.rows), 0)
    assert 0 <= record.metrics["dice"].value <= 1
    facts = record.model.training["nnunet"]
    assert (facts["trainer"], facts["configuration"]) == ("nnUNetTrainer", "2d")
    assert (facts["plans_identifier"], facts["folds"]) == ("nnUNetPlans_quick", ["0"])
    state = load_checkpoint(trained).state
    assert record.model.parameters < sum(tensor.numel() for tensor in state.values())
    results = trained.parent / "nnUNet_results"
    assert not (trained.parent / "nnUNet_raw").exists()
    again = run(
        "nnunet.test", "cvc_clinicdb", data=small_cvc, weights=results, runs=tmp_path, leaderboards=tmp_path
    )
    assert again.record.model.weights == "file"
    assert [row.predictions for row in again.rows] == [row.predictions for row in finished.rows]


def commands():
    """Command lines of all processes."""
    import psutil

    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "later"),
    [
        pytest.param(0, 0, marks=pytest.mark.exhaustive),
        pytest.param(2, 2, marks=pytest.mark.exhaustive),
        (1, 0),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    trained, nursery, small_cvc, tmp_path, workers, later, monkeypatch
):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(small_cvc, tmp_path, Told(interrupt_at="epoch 1/"), workers)
    assert not list(tmp_path.rglob("weights.pt"))
    assert not [name for name in commands() if str(tmp_path) in name], "a reading process lives on"
    monkeypatch.setattr("medbench.nnunet.training.subprocess", nursery)
    resumed = train_tiny(small_cvc, tmp_path, Told(), later)
    assert resumed.read_bytes() == trained.read_bytes()
    shutil.rmtree(resumed.parent / "nnUNet_results")
    assert train_tiny(small_cvc, tmp_path) == resumed


@pytest.mark.slow
def test_a_named_trainer_starts_from_nnunets_own_weights_trains_all_cases_and_predicts(
    trained, small_cvc, tmp_path, warm
):
    """At a rate of 0 the weights of nnU-Net's own checkpoint come out as they went in."""
    (native,) = trained.parent.rglob("checkpoint_final.pth")
    expected = load_safely(native)["network_weights"]
    told = Told()
    changes = {
        "epochs": 1,
        "learning_rate": 0,
        "seed": 5,
        "trainer": "nnUNetTrainerNoMirroring",
        "folds": "all",
        "batch_size": 0,
    }
    weights = train(
        "nnunet.test", "cvc_clinicdb", data=small_cvc, recipe="quick", runs=tmp_path, init=native,
        recipe_changes={**TINY, **changes}, progress=told,
    )  # fmt: skip
    checkpoint = load_checkpoint(weights)
    state = checkpoint.state
    assert [
        name for name, value in expected.items() if not torch.equal(state[f"fold_all.{name}"], value)
    ] == []
    summary = json.loads(weights.with_name("training.json").read_text())
    assert summary["start"]["sha256"]
    assert summary["hardware"]["effective_batch"] >= 2, "as it was planned from the data"
    assert summary["start_parameters"] == {"matched": len(expected), "missing": [], "refused": {}}
    assert any("parameters of the network start from" in line for line in told.lines)
    facts = checkpoint.facts["nnunet"]
    assert (facts["trainer"], facts["folds"]) == ("nnUNetTrainerNoMirroring", ["all"])
    assert facts["mirror_axes"] == []
    done = run(
        "nnunet.test", "cvc_clinicdb", data=small_cvc, weights=weights, runs=tmp_path,
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    assert done.exit_code == 0


def test_layers_of_the_segmentation_start_fresh_after_other_classes(trained):
    from medbench.nnunet.beginning import begin_with, read_start

    checkpoint = read_start(trained, trained.parent)
    network = torch.nn.ModuleDict({"decoder": torch.nn.Module(), "encoder": torch.nn.Conv2d(1, 1, 1)})
    network["decoder"].seg_layers = torch.nn.ModuleList([torch.nn.Conv2d(1, 2, 1)])
    state = {name: value + 1 for name, value in network.state_dict().items()}
    request = {"source": "model", "frozen": [], "other_classes": True}
    fit = begin_with(network, state, request)
    assert fit["matched"] == 2
    assert set(fit["refused"]) == {"decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"}
    assert all(not name.startswith("fold_") for name in checkpoint.state)
    refused("init.nothing_matches", lambda: begin_with(network, {"a": torch.zeros(9)}, request))


def test_the_child_process_sees_the_named_device_alone_and_computes_as_is_recorded(monkeypatch):
    """nnU-Net takes the first CUDA device that it sees, whatever it is told."""
    from medbench.nnunet import child
    from medbench.nnunet.training import _shown_device
    from medbench.training.hardware import Hardware

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert _shown_device(Hardware("cuda:1", 1)) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert _shown_device(Hardware("cuda", 1)) == {"CUDA_VISIBLE_DEVICES": "4"}
    assert _shown_device(Hardware("cpu", 1)) == {}
    states = []

    def noted(request, emit):
        states.append(
            (
                torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark,
                torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
            )
        )  # fmt: skip

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(child, "_prepare_and_train", noted)
    for device, deterministic in (("cuda", False), ("cuda", True), ("cpu", True)):
        child._work({"device": device, "deterministic": deterministic}, print)
    assert states == [
        ("high", True, False, None),
        ("highest", False, True, ":4096:8"),
        ("highest", False, True, None),
    ]


def test_planners_and_trainers_are_nnunets_by_name():
    recipe = NnunetRecipe(
        "default", "", planner="nnUNetPlannerResEncL_torchres", trainer="nnUNetTrainerNoMirroring"
    )
    assert recipe.planner_class == "nnUNetPlannerResEncL_torchres"
    assert NnunetRecipe("default", "", planner="ResEncM").planner_class == "nnUNetPlannerResEncM"
    primus = NnunetRecipe("default", "", trainer="nnUNet_Primus_M_Trainer").as_json()
    assert "learning_rate" not in primus, "the trainer's own"
    assert NnunetRecipe("d", "", trainer="nnUNet_Primus_M_Trainer", learning_rate=1e-4).as_json()[
        "learning_rate"
    ] == pytest.approx(1e-4)
    assert NnunetRecipe("default", "").as_json()["learning_rate"] == pytest.approx(1e-2)
    error = refused("recipe.setting", lambda: NnunetRecipe("d", "", trainer="nnUNet_Primus_X_Trainer"))
    assert "nnUNet_Primus_L_Trainer" in error.hint
    refused("recipe.setting", lambda: NnunetRecipe("d", "", planner="nnUNetPlannerResEncN"))
    refused("recipe.setting", lambda: NnunetRecipe("d", "", folds=(7,)))


def test_every_trainer_that_may_be_named_is_found_by_nnunet():
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from medbench.nnunet.own_classes import own_classes

    trainers = own_classes("trainer")
    assert {"nnUNetTrainer", "nnUNet_Primus_S_Trainer", "nnUNetTrainer_250epochs"} <= set(trainers)
    assert {"nnUNetPlannerResEncXL", "ExperimentPlanner"} <= set(own_classes("planner"))
    for name in ("nnUNet_Primus_S_Trainer", "nnUNetTrainerDiceCELoss_noSmooth"):
        assert recursive_find_trainer_class_by_name(name).__name__ == name


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_a_transformer_of_nnunets_trainers_trains_on_volumes_and_predicts(tmp_path, one_thread):
    """Primus S, by the name of its trainer, for two steps on cubes of 32 voxels."""
    rng = np.random.default_rng(0)
    for number in range(6):
        case = f"BraTS-GLI-{number + 9:05}-000"
        folder = tmp_path / "data" / ("test" if number == 5 else "train") / case
        labels = np.zeros((32, 32, 32), np.uint8)
        labels[8:24, 8:24, 8:24], labels[12:20, 12:20, 12:20], labels[14:18, 14:18, 14:18] = 2, 1, 3
        for name in ("t1n", "t1c", "t2w", "t2f"):
            image = rng.integers(100, 200, labels.shape).astype(np.int16) + 50 * labels.astype(np.int16)
            write_volume(folder / f"{case}-{name}.nii.gz", Volume(image, (1.0,) * 3, (0.0,) * 3, UPRIGHT))
        write_volume(folder / f"{case}-seg.nii.gz", Volume(labels, (1.0,) * 3, (0.0,) * 3, UPRIGHT))
    weights = train(
        "nnunet", "brats2023_gli", data=tmp_path / "data", recipe="quick", runs=tmp_path,
        recipe_changes={
            "epochs": 1, "steps": 2, "validation_steps": 1, "batch_size": 1, "folds": "all",
            "trainer": "nnUNet_Primus_S_Trainer",
        },
    )  # fmt: skip
    facts = load_checkpoint(weights).facts["nnunet"]
    assert (facts["trainer"], facts["configuration"]) == ("nnUNet_Primus_S_Trainer", "3d_fullres")
    assert any("eva" in name or "block" in name for name in load_checkpoint(weights).state)
    done = run(
        "nnunet", "brats2023_gli", data=tmp_path / "data", weights=weights, runs=tmp_path,
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    assert done.exit_code == 0
    assert done.record.counts.ok == 1
