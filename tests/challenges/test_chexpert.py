"""CheXpert: uncertain labels, splits by patient, tables of several labels, areas under the curve."""

import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medbench.challenges import load_challenge
from medbench.challenges.chexpert.files import LABELS, frontal_images, label_value
from medbench.challenges.families.radiographs import SPLITS
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow

CHALLENGE = load_challenge("chexpert")


@pytest.fixture(scope="module")
def drawn(unmarked):
    return unmarked("chexpert")


def test_splits_are_by_patient_and_fractions_lie_within_each_other(drawn):
    cases = {split: CHALLENGE.cases(drawn, split) for split in SPLITS}
    assert {split: len(rows) for split, rows in cases.items()} == {
        "train": 120, "val": 24, "test": 48, "train_10": 24, "train_1": 6,
    }  # fmt: skip
    patients = {split: {case.group for case in rows} for split, rows in cases.items()}
    assert patients["train_1"] < patients["train_10"] < patients["train"]
    assert not patients["train"] & (patients["val"] | patients["test"])
    assert not [finding for finding in CHALLENGE.release.check(drawn) if finding.severity == "error"]


def test_uncertain_labels_are_the_papers_and_lateral_images_are_left_out(tmp_path):
    rows = {
        "patient00001/study1/view1_frontal.jpg": ("Frontal", "-1.0", "-1.0", "-1.0", "-1.0", "-1.0"),
        "patient00001/study1/view2_lateral.jpg": ("Lateral", "1.0", "1.0", "1.0", "1.0", "1.0"),
        "patient00001/study2/view1_frontal.jpg": ("Frontal", "", "0.0", "1.0", "", "1.0"),
        "patient00002/study1/view1_frontal.jpg": ("Frontal", "2", "0.0", "1.0", "", "1.0"),
    }
    lines = [f"CheXpert-v1.0-small/train/{path},{','.join(cells)}" for path, cells in rows.items()]
    table = tmp_path / "train.csv"
    table.write_text("\n".join([f"Path,Frontal/Lateral,{','.join(LABELS)}", *lines]) + "\n")
    images = frontal_images(table, "train")
    assert [image.labels for image in images] == [(1, 0, 0, 1, 1), (0, 0, 1, 0, 1), ()]
    assert "line 5, column 'Atelectasis': '2'" in images[2].fault
    assert [image.group for image in images] == ["patient00001", "patient00001", "patient00002"]
    assert images[0].image == tmp_path / "train/patient00001/study1/view1_frontal.jpg"
    assert label_value("Cardiomegaly", "-1.0") == 0


def test_probabilities_need_no_sum_and_failed_images_count_as_wrong(drawn, tmp_path):
    cases = CHALLENGE.cases(drawn, "test")
    due = np.array([CHALLENGE.release.read_reference(case) for case in cases])
    values = np.random.default_rng(0).uniform(0, 1, due.shape)
    table = tmp_path / "answers.csv"
    lines = [",".join([case.id, *map(str, row)]) for case, row in zip(cases[1:], values[1:], strict=True)]
    table.write_text("\n".join([",".join(("image", *LABELS)), *lines]) + "\n")
    scored = [CHALLENGE.scorer.score_failed(cases[0], "missing", "no row")]
    scored += [CHALLENGE.scorer.score_file(case, CHALLENGE.locate(case, tmp_path)) for case in cases[1:]]
    rows = [
        CaseRow(case.id, case.group, "ok", one.scores, one.evidence)
        for case, one in zip(cases, scored, strict=True)
    ]
    values[0] = 1 - due[0]
    areas = [roc_auc_score(due[:, k], values[:, k]) for k in range(len(LABELS))]
    ones = np.ones((1, len(rows)))
    for spec, expected in zip(CHALLENGE.metrics, [np.mean(areas), *areas], strict=True):
        assert CHALLENGE.scorer.statistic(spec, rows)(ones)[0] == pytest.approx(expected, abs=1e-12)
        assert CHALLENGE.scorer.score_arrays(due, values)[spec.name].value == pytest.approx(
            expected, abs=1e-12
        )


@pytest.mark.slow
def test_a_fraction_without_a_label_is_refused(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    table = tmp_path / "CheXpert-v1.0-small/train.csv"
    ids = {
        case.group
        for case in CHALLENGE.cases(tmp_path, "train_1")
        if CHALLENGE.release.read_reference(case)[1]
    }
    lines = [line for line in table.read_text().splitlines() if not any(name in line for name in ids)]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(MedbenchError, match="Cardiomegaly") as caught:
        CHALLENGE.cases(tmp_path, "train_1")
    assert caught.value.code == "split.class_empty"
    (tmp_path / "empty").mkdir()
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(tmp_path / "empty", "train")
    assert caught.value.code == "data.layout_unknown"


def test_the_public_programs_split_leaks_and_is_never_ranked(drawn):
    release = CHALLENGE.release
    ids = {
        split: {case.id for case in CHALLENGE.cases(drawn, split)}
        for split in ("leaking_train", "leaking_val")
    }
    assert ids["leaking_val"] & ids["leaking_train"], "other rows are dropped than those that validate"
    assert not ids["leaking_train"] & {case.id for case in CHALLENGE.cases(drawn, "test")}
    assert release.training_split_of("leaking_val") == "leaking_train"
    for one, other, overlap in (
        ("leaking_train", "leaking_val", False),
        ("leaking_train", "test", True),
        ("train", "leaking_val", True),
        ("train", "test", False),
        ("train_1", "val", False),
    ):
        assert release.overlap(one, other) == overlap
    assert [split for split in release.splits if release.split_facts(split).mark] == [
        "leaking_train", "leaking_val",
    ]  # fmt: skip


@pytest.mark.slow
def test_labels_are_learnt_from_a_start_with_a_frozen_encoder(drawn, tmp_path):
    import torch

    from medbench.core.files import read_json
    from medbench.inference.weights import load_checkpoint, save_checkpoint
    from medbench.models import create_model
    from medbench.running.train import train
    from medbench.training.hardware import Hardware

    size = {"widths": [2, 2, 4, 4], "depths": [1, 1, 1, 1], "image_size": 32}
    small = {"width": 16, "num_clusters": 4, "text_depth": 1, "text_heads": 2, "text_hidden": 16,
             "vocabulary_size": 64, "max_tokens": 48, "decoder_widths": [8, 8, 8, 8]}  # fmt: skip
    torch.manual_seed(3)
    whole = create_model("cm_cgns.pretraining", **size, **small)
    save_checkpoint(tmp_path / "weights.pt", whole.state_dict(), {"model": "cm_cgns.pretraining"})
    changes = {"image_size": 32, "epochs": 1, "least_steps": 1}
    weights = train(
        "cm_cgns.classifier", "chexpert", recipe="quick", recipe_changes=changes, data=drawn,
        split="train_10",
        options={**size, "frozen": True}, init=str(tmp_path / "weights.pt"), freeze=["encoder"],
        runs=tmp_path / "runs", hardware=Hardware("cpu", 1),
    )  # fmt: skip
    state = load_checkpoint(weights).state
    own = whole.image_encoder.backbone.state_dict()
    assert state["classification_head.weight"].shape[0] == len(LABELS)
    for name, value in own.items():
        assert torch.equal(state[f"encoder.backbone.{name}"], value), name
    summary = read_json(weights.with_name("training.json"))
    assert summary["split"] == "train_10"
    assert summary["start_parameters"]["missing"] == [
        "classification_head.weight",
        "classification_head.bias",
    ]
