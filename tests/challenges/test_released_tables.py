"""The whole tables of three releases, where torchxrayvision, whose package holds them, is installed."""

import collections
import csv
import gzip
import io
import zipfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.chexpert.files import LABELS, UNCERTAIN, frontal_images
from medbench.challenges.chexpert.leaking import OTHERS, leaking_rows
from medbench.challenges.families.radiographs import FRACTIONS, SPLITS
from medbench.challenges.rsna_pneumonia.table import belongs, patients_of
from medbench.challenges.siim_pneumothorax.files import runs_of
from medbench.challenges.siim_pneumothorax.run_lengths import EMPTY, decode_runs, encode_runs

SPEC = find_spec("torchxrayvision")
pytestmark = pytest.mark.skipif(
    SPEC is None, reason="torchxrayvision, which holds the tables, is not installed"
)


def table(name):
    return Path(SPEC.origin).parent / "data" / name


def check_splits(members):
    """Splits share nobody, fractions lie within each other and have about their share."""
    whole = sum(len(members[split]) for split in SPLITS[:3])
    assert not members["train"] & members["val"]
    assert not members["test"] & (members["train"] | members["val"])
    assert len(set().union(*(members[split] for split in SPLITS[:3]))) == whole
    assert members["train_1"] < members["train_10"] < members["train"]
    for split, share in FRACTIONS.items():
        due = share * len(members["train"])
        assert abs(len(members[split]) - due) < 4 * due**0.5, split
    return {split: len(members[split]) / whole for split in SPLITS[:3]}


def check_lists(name, root, splits):
    """The lists that the package names are those of the released table."""
    release = load_challenge(name).release
    for split in splits:
        ids = [case.id for case in release.cases(root, split)]
        facts = release.split_facts(split)
        assert (facts.cases, facts.names_sha256) == (len(ids), sha256("\n".join(ids).encode()).hexdigest()), (
            split
        )


@pytest.fixture(scope="module")
def rsna(tmp_path_factory):
    root = tmp_path_factory.mktemp("rsna")
    with zipfile.ZipFile(table("kaggle_stage_2_train_labels.csv.zip")) as packed:
        packed.extract("stage_2_train_labels.csv", root)
    return root


@pytest.fixture(scope="module")
def siim(tmp_path_factory):
    root = tmp_path_factory.mktemp("siim")
    packed = table("siim-pneumothorax-train-rle.csv.gz").read_bytes()
    (root / "train-rle.csv").write_bytes(gzip.decompress(packed))
    return root


@pytest.mark.slow
def test_rsna(rsna, full):
    with open(rsna / "stage_2_train_labels.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 30_227
    patients = patients_of(rsna)
    assert len(patients) == len({row["patientId"] for row in rows}) == 26_684
    assert not [patient for patient in patients if patient.fault]
    assert sum(len(patient.boxes) for patient in patients) == sum(row["Target"] == "1" for row in rows)
    assert sum(bool(patient.boxes) for patient in patients) == 6_012
    members = {split: {p.id for p in patients if belongs(p.id, split)} for split in SPLITS}
    shares = check_splits(members)
    assert shares["test"] == pytest.approx(0.15, abs=0.01)
    positive = {patient.id for patient in patients if patient.boxes}
    for split in SPLITS:
        assert len(positive & members[split]) / len(members[split]) == pytest.approx(0.225, abs=0.09), split
    check_lists("rsna_pneumonia", rsna, SPLITS)
    for name in ("rsna_pneumonia_boxes", "rsna_pneumonia_masks"):  # share their cases: test_radiograph_boxes
        if full:
            check_lists(name, rsna, SPLITS)
        facts = [
            [load_challenge(one).release.split_facts(s) for s in SPLITS] for one in (name, "rsna_pneumonia")
        ]
        assert [(f.cases, f.names_sha256) for f in facts[0]] == [(f.cases, f.names_sha256) for f in facts[1]]
    for patient in patients:
        for left, top, right, bottom, _ in patient.boxes:
            assert 0 <= left < right <= 1024
            assert 0 <= top < bottom <= 1024


@pytest.mark.slow
def test_siim(siim, full):
    challenge = load_challenge("siim_pneumothorax")
    runs = runs_of(siim / "train-rle.csv")
    rows = [(name, text) for name, own in runs.items() for _, text in own]
    assert len(rows) == 12_954
    pairs = challenge.release.pairs(siim)
    ids = {split: [pair.id for pair in challenge.release.pairs_of(pairs, split)] for split in SPLITS}
    assert len(pairs) == len(runs) == sum(len(ids[split]) for split in SPLITS[:3])
    check_splits({split: set(own) for split, own in ids.items()})
    torn = collections.Counter(
        pair.id
        for split in ("leaking_train", "leaking_val", "leaking_test")
        for pair in challenge.release.pairs_of(pairs, split)
    )
    assert torn.keys() == runs.keys()
    several = {name for name, own in runs.items() if len(own) > 1}
    assert {name for name, count in torn.items() if count > 1} <= several
    assert sum(count > 1 for count in torn.values()) > 100, "the public program tears these masks apart"
    check_lists("siim_pneumothorax", siim, challenge.release.splits)
    drawn = [text for _, text in rows if text != EMPTY]
    for text in drawn if full else drawn[::40]:
        mask = decode_runs(text, (1024, 1024), "row")
        assert mask.sum() == sum(map(int, text.split()[1::2]))
        np.testing.assert_array_equal(decode_runs(encode_runs(mask), (1024, 1024), "row"), mask)


def by_pandas(path):
    """Rows that pandas' own sampling, positions and dropping by label leave to train and to validate on."""
    table = pd.read_csv(path)
    told = table[[*LABELS, *OTHERS]].fillna(0)
    alone = [
        told[
            (table["Frontal/Lateral"] == "Frontal")
            & (told[label] == 1)
            & (told.drop(columns=label) == 0).all(axis=1)
        ]
        for label in LABELS
    ]
    left = table.drop(pd.concat([rows.sample(n=200, random_state=0) for rows in alone]).index)
    positions = np.random.RandomState(0).choice(len(left), size=5_000, replace=False)
    return frozenset(left.drop(positions, errors="ignore").index), frozenset(left.iloc[positions].index)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_chexpert(tmp_path):
    packed = table("chexpert_train.csv.gz").read_bytes()
    path = tmp_path / "train.csv"
    path.write_bytes(gzip.decompress(packed))
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == 223_414
    images = frontal_images(path, "train")
    frontal = [row for row in rows if row["Frontal/Lateral"] == "Frontal"]
    assert len(images) == len(frontal) == len({image.id for image in images})
    assert not [image for image in images if image.fault]
    for place, label in enumerate(LABELS):
        stated = {"1.0": 1, "-1.0": UNCERTAIN[label]}
        due = sum(stated.get(row[label], 0) for row in frontal)
        assert sum(image.labels[place] for image in images) == due, label
    release = load_challenge("chexpert").release
    patients = {
        split: {image.group for image in release.images_of(images, split)}
        for split in SPLITS
        if split != "test"
    }
    shares = check_splits({**patients, "test": set()})
    assert shares["val"] == pytest.approx(0.025, abs=0.005)
    leaking = leaking_rows(path, LABELS)
    assert len(leaking["leaking_val"]) == 5_000
    (tmp_path / "valid.csv").write_text(path.read_text().partition("\n")[0] + "\n")
    check_lists("chexpert", tmp_path, ("val", "train_10", "train_1", "leaking_val"))
    kept, dropped = by_pandas(path)
    assert (leaking["leaking_train"], leaking["leaking_val"]) == (kept, dropped)
    assert len(kept & dropped) == 4_907, "so many of the 5,000 are trained on"
