"""COVIDx: text files, splits by patient of a source, fractions."""

import shutil

import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError

CHALLENGE = load_challenge("covidx")


@pytest.fixture
def root(unmarked, tmp_path):
    return shutil.copytree(unmarked("covidx"), tmp_path / "covidx")


def test_splits_are_by_patient_and_fractions_lie_within_each_other(root):
    cases = {split: CHALLENGE.cases(root, split) for split in CHALLENGE.release.splits}
    assert {split: len(rows) for split, rows in cases.items()} == {
        "train": 72, "val": 12, "test": 30, "train_10": 12, "train_1": 3,
    }  # fmt: skip
    ids = {split: {case.id for case in rows} for split, rows in cases.items()}
    assert ids["train_1"] < ids["train_10"] < ids["train"]
    for rows in cases.values():
        assert {case.facts["class"] for case in rows} == {0, 1, 2}
    patients = {split: {case.group for case in rows} for split, rows in cases.items()}
    assert not patients["train"] & (patients["val"] | patients["test"])
    assert not [finding for finding in CHALLENGE.release.check(root) if finding.severity == "error"]


def test_images_of_a_patient_stay_together_and_names_may_hold_blanks(root):
    table = root / "train_COVIDx9A.txt"
    lines = table.read_text().splitlines()
    patient, name, label, source = lines[0].split()
    (root / "train" / "a b.png").write_bytes((root / "train" / name).read_bytes())
    table.write_text("\n".join([*lines, f"{patient} a b.png {label} {source}"]) + "\n")
    homes = [
        split
        for split in ("train", "val")
        for case in CHALLENGE.cases(root, split)
        if case.group == f"{source}/{patient}"
    ]
    assert len(homes) == 2
    assert len(set(homes)) == 1


def test_bad_lines_are_refused_by_name(root):
    table = root / "train_COVIDx9A.txt"
    text = table.read_text()
    table.write_text(text + "1 x.png normal\n")
    with pytest.raises(MedbenchError, match="line 85") as caught:
        CHALLENGE.cases(root, "train")
    assert caught.value.code == "data.table"
    table.write_text(text + text.splitlines()[0] + "\n")
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(root, "train")
    assert caught.value.code == "data.row_twice"
    table.write_text(text.replace("COVID-19", "covid", 1))
    faults = [finding.message for finding in CHALLENGE.release.check(root) if finding.severity == "error"]
    assert any("'covid' is no class" in message for message in faults)
    (root / "train_COVIDx8B.txt").write_text(text)
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(root, "train")
    assert caught.value.code == "data.layout_unknown"


def test_a_fraction_without_a_class_is_refused(root):
    case = CHALLENGE.cases(root, "train_1")[0]
    table = root / "train_COVIDx9A.txt"
    name = case.inputs["image"].name
    table.write_text("\n".join(line for line in table.read_text().splitlines() if name not in line) + "\n")
    with pytest.raises(MedbenchError) as caught:
        CHALLENGE.cases(root, "train_1")
    assert caught.value.code == "split.class_empty"
