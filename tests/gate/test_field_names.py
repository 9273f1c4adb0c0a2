"""Names as other systems write them: accents apart, archives of macOS, long names; names of classes."""

import unicodedata
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medbench.challenges.exchange import Exchange
from medbench.core.case import Case
from medbench.core.files import write_bytes
from medbench.core.text import plain_name
from medbench.io.gate.zipped import unpacked
from medbench.running.folders import evaluate_folders

NAME = "Müller_ä"
APART = unicodedata.normalize("NFD", NAME)


def cube(shift=0):
    labels = np.zeros((12,) * 3, np.uint8)
    labels[3:9, 3:9, 3:9] = 1
    return np.roll(labels, shift, 0)


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), path)


def mac_zip(path, folder):
    """An archive as macOS packs it: accents apart, UTF-8 without the flag that says so."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.nii")):
            name = unicodedata.normalize("NFD", file.name)
            stored = zipfile.ZipInfo("x" * len(name.encode()))
            archive.writestr(stored, file.read_bytes())
    content = path.read_bytes()
    for file in sorted(folder.rglob("*.nii")):
        name = unicodedata.normalize("NFD", file.name).encode()
        content = content.replace(b"x" * len(name), name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("ours", "theirs"), [(NAME, APART), (APART, NAME)])
def test_accents_apart_are_the_same_name(tmp_path, ours, theirs):
    save(tmp_path / "r" / f"{ours}.nii", cube())
    save(tmp_path / "p" / f"{theirs}.nii", cube(1))
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"])
    assert [(row.case, row.status) for row in scores.rows] == [(NAME, "ok")]
    assert scores.rows[0].scores["1/dice"].value == pytest.approx(5 / 6)
    save(tmp_path / "p" / f"{ours}.nii", cube())
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"])
    assert scores.rows[0].scores["1/dice"].value == 1


def test_an_archive_of_macos_pairs_as_its_folder(tmp_path):
    save(tmp_path / "r" / f"{NAME}.nii", cube())
    save(tmp_path / "p" / f"{NAME}.nii", cube(1))
    path = mac_zip(tmp_path / "p.zip", tmp_path / "p")
    with zipfile.ZipFile(path) as archive:
        assert NAME not in unicodedata.normalize("NFC", archive.namelist()[0])
    with unpacked(path, 1 << 20) as folder:
        assert [file.name for file in folder.iterdir()] == [f"{APART}.nii"]
    scores = evaluate_folders(tmp_path / "r", path, ["dice"])
    assert scores.rows[0].scores["1/dice"].value == pytest.approx(5 / 6)


class Named(Exchange):
    """Answers under the case's own name."""

    def prediction_name(self, case):
        return f"{case.id}.png"

    def write(self, prediction, case, folder):
        raise NotImplementedError


def test_a_prediction_of_a_case_with_accents_is_located(tmp_path):
    (tmp_path / f"{APART}.png").write_bytes(b"x")
    exchange = Named(None)
    assert exchange.locate(Case(NAME, {}), tmp_path) == tmp_path / f"{APART}.png"
    assert exchange.locate(Case("Meier", {}), tmp_path) is None
    assert exchange.locate(Case(NAME[:-1] + "b", {}), tmp_path) is None


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "1." + "2.8" * 80 + ".nii.gz", "case." + "b" * 240])
def test_a_long_name_is_written(tmp_path, name):
    write_bytes(tmp_path / name, b"x")
    assert [path.name for path in Path(tmp_path).iterdir()] == [name]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Non-enhancing core", "nonenhancing_core", True),
        (NAME, APART, True),
        ("HER2+", "HER2-", False),
        ("HER2 +", "HER2\N{MINUS SIGN}", False),
        ("> 3 mm", "< 3 mm", False),
        ("T1-Gd", "T1Gd", True),
    ],
)
def test_names_of_classes_are_told_apart_by_their_signs(one, other, same):
    assert (plain_name(one) == plain_name(other)) == same


def test_own_data_pair_whatever_wrote_their_names(tmp_path, monkeypatch):
    from medbench.challenges import load_challenge
    from medbench.io import raster
    from medbench.running.declaring import declare

    monkeypatch.chdir(tmp_path)
    for index in range(6):
        image = np.random.default_rng(index).integers(0, 255, (16, 20, 3), np.uint8)
        mask = np.zeros((16, 20), np.uint8)
        mask[2 : 6 + index, 3:9] = 255
        raster.write_image(tmp_path / f"d/images/{NAME}{index}.png", image)
        raster.write_label_map(tmp_path / f"d/masks/{APART}{index}.png", mask)
    assert declare(tmp_path / "d", "ours").complete
    challenge = load_challenge("ours")
    cases = [case for split in ("train", "val", "test") for case in challenge.cases(tmp_path / "d", split)]
    assert len(cases) == 6
    assert all(case.reference for case in cases)
