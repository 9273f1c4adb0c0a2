"""What comes of own data: findings on resized masks, reports, boards, citations, weights that do not fit."""

import json

import numpy as np
import pytest

import medbench
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import nifti_mha, raster
from medbench.leaderboards.rendering import latex, markdown
from medbench.leaderboards.results import load_board
from medbench.running.cite import cite
from medbench.running.declaring import Wishes, declare
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from medbench.running.run import run
from medbench.running.train import train


@pytest.fixture
def ours(place):
    generator = np.random.default_rng(0)
    for index in range(10):
        name = f"p{index}.png"
        raster.write_image(place / "png/images" / name, generator.integers(0, 255, (24, 32, 3), np.uint8))
        mask = np.zeros((24, 32), np.uint8)
        mask[4 + index : 12 + index, 5:16] = 255
        raster.write_label_map(place / "png/masks" / name, mask)
    declare(place / "png", "ours", Wishes(labels={"polyp": 255}))
    return medbench.load_challenge("ours")


def _errors(challenge):
    findings = challenge.release.check(challenge.release.folder)
    return [finding.message for finding in findings if finding.severity == "error"]


def test_a_mask_that_was_resized_is_told_by_its_size_not_by_its_values(place, ours):
    blurred = np.zeros((12, 16), np.uint8)
    blurred[4:8, 4:8], blurred[4, 4:8] = 255, 127
    raster.write_label_map(place / "png/masks/p3.png", blurred)
    (error,) = _errors(ours)
    assert "p3.png: is 12×16 where its image is 24×32" in error
    assert any("p3.png: is 12×16" in line for line in declare(place / "png", "again").lines)
    raster.write_label_map(place / "png/masks/p3.png", np.full((24, 32), 127, np.uint8))
    (error,) = _errors(ours)
    assert "p3.png: holds the value 127" in error


def test_a_prediction_that_was_resized_is_told_by_its_size_not_by_its_values(place, ours):
    (case, *_) = ours.cases(place / "png", "test")
    raster.write_label_map(place / f"theirs/{case.id}.png", np.full((12, 16), 127, np.uint8))
    (row, *_) = evaluate("ours", place / "theirs", cases=case.id).rows
    assert row.reason.endswith(f"{case.id}.png: is 12×16 where its reference is 24×32.")


def test_the_header_beside_a_volume_is_no_case_of_its_own(place):
    nibabel = pytest.importorskip("nibabel")
    for index in range(5):
        labels = np.zeros((8, 8, 4), np.uint8)
        labels[2:6, 1 : 3 + index, 1:3] = 1
        for folder, array in (("images", (labels * 90 + index + 1).astype(np.int16)), ("masks", labels)):
            (place / "ct" / folder).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Pair(array, np.eye(4)), str(place / f"ct/{folder}/c{index}.img"))
    assert declare(place / "ct", "ours").complete
    assert _errors(medbench.load_challenge("ours")) == []


def test_a_label_volume_that_was_resized_is_told_by_its_size_not_by_its_values(place):
    direction = tuple(np.eye(3).ravel().tolist())
    for index in range(5):
        labels = np.zeros((4, 8, 8), np.uint8)
        labels[1:3, 2:6, 1 : 3 + index] = 1
        image = (labels * 100 + 7 * index + 1).astype(np.int16)
        for folder, array in (("images", image), ("masks", labels)):
            volume = Volume(array, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
            nifti_mha.write_volume(place / f"ct/{folder}/c{index}.nii.gz", volume)
    declare(place / "ct", "ours", Wishes(labels={"organ": 1}))
    odd = Volume(np.full((4, 4, 4), 3, np.uint8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), direction)
    nifti_mha.write_volume(place / "ct/masks/c2.nii.gz", odd)
    (error,) = _errors(medbench.load_challenge("ours"))
    assert "c2.nii.gz: is 4×4×4 where its image is 4×8×8" in error
    declare(place / "ct", "again", Wishes(labels={"organ": 1}, folds=5))
    case = medbench.load_challenge("again").cases(place / "ct", "folds")[-1]
    assert not case.id.endswith("c2")
    nifti_mha.write_volume(place / f"theirs/{case.id}.nii.gz", odd)
    (row, *_) = evaluate("again", place / "theirs", split="folds", cases=case.id).rows
    assert row.reason.endswith(f"{case.id}.nii.gz: is 4×4×4 where its reference is 4×8×8.")


def test_a_report_tells_a_flag_once(place, ours):
    for case in ours.cases(place / "png", "test"):
        mask = raster.read_label_map(case.reference["labels"])
        raster.write_label_map(place / "theirs" / f"{case.id}.png", 255 - mask)
    finished = evaluate("ours", place / "theirs")
    (row, *_) = [row for row in finished.rows if row.evidence.get("flags")]
    page = report(finished.folder).read_text()
    assert page.count(f"{row.case}: {row.evidence['flags'][0]}") == 1


def test_a_board_and_a_citation_of_data_without_a_page_have_no_empty_address(place, ours):
    for case in ours.cases(place / "png", "test"):
        mask = raster.read_label_map(case.reference["labels"])
        raster.write_label_map(place / "theirs" / f"{case.id}.png", mask)
    evaluate("ours", place / "theirs")
    board = load_board(place / "boards", "ours")
    assert markdown(board).splitlines()[2].endswith(".")
    assert latex(board).splitlines()[0] == "% ours. Needs \\usepackage{booktabs}."
    (citation,) = cite(["ours"])
    assert "howpublished" not in citation.bibtex


def _refused(**options):
    with pytest.raises(MedbenchError) as error:
        run("baseline/constant", "ours", **options)
    assert error.value.code == "weights.none"
    return error.value


def test_weights_that_do_not_fit_are_named_with_the_reason(place, ours):
    assert "Those that were trained" not in _refused().message
    folder = train("baseline/constant", "ours").parent
    own = f" ({folder.name})"
    run("baseline/constant", "ours")
    project = place / "medbench.toml"
    declared = project.read_text()
    project.write_text(declared.replace('missing = "worst"', 'missing = "undefined"'))
    other = _refused()
    assert f"have other training files or another declaration in medbench.toml{own}." in other.message
    assert "--weights FILE" in other.hint
    run("baseline/constant", "ours", weights=folder / "weights.pt")
    project.write_text(declared)
    assert f"have the recipe default{own}." in _refused(recipe="quick").message
    summary = json.loads((folder / "training.json").read_text())
    for changes, words in (
        ({"plugins": {"lab.py": "0" * 64}}, "the plug-in lab.py"),
        ({"data": "sample"}, "the synthetic sample"),
        ({"split": "val"}, "the training split val"),
    ):
        (folder / "training.json").write_text(json.dumps({**summary, **changes}))
        assert f"have {words}{own}." in _refused().message
