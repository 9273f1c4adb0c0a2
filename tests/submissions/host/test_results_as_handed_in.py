"""Results as participants zip them for a hosted phase: opened, or refused in words that help."""

import json
import shutil

import cv2
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.submissions.host.serving import evaluate_results
from medbench.submissions.serving.session import Roots

FACTS = {"challenge": "hc18", "split": "test"}


@pytest.fixture
def phase(release, tmp_path):
    """A root with the references, and a folder of right answers to lay somewhere below the results."""
    (tmp_path / "app/input/res").mkdir(parents=True)
    (tmp_path / "app/input/ref").symlink_to(release)
    challenge = load_challenge("hc18")
    for case in challenge.cases(release, "test"):
        path = tmp_path / "right" / challenge.exchange.prediction_name(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.asarray(challenge.release.read_reference(case)) * 255)
    return tmp_path


def in_a_folder(results, right):
    shutil.copytree(right, results / "mine")


def beside_a_text(results, right):
    shutil.copytree(right, results / "mine")
    (results / "README.md").write_text("our results")


def with_metadata_everywhere(results, right):
    shutil.copytree(right, results / "mine/again")
    for folder in (results, results / "mine", results / "mine/again", results / "__MACOSX/mine"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in (".DS_Store", "desktop.ini", "._mine", "Thumbs.db"):
            (folder / name).write_bytes(bytes(100))


def thirty_deep(results, right):
    shutil.copytree(right, results.joinpath(*"a" * 30))


@pytest.mark.parametrize("lay", [in_a_folder, beside_a_text, with_metadata_everywhere, thirty_deep])
def test_results_in_one_folder_are_found(phase, lay):
    lay(phase / "app/input/res", phase / "right")
    evaluate_results(FACTS, Roots(phase))
    details = json.loads((phase / "app/output/details.json").read_text())
    assert {row["status"] for row in details["cases"]} == {"ok"}
    assert json.loads((phase / "app/output/scores.json").read_text())["dice"] == 1


def nothing(results, right):
    (results / ".DS_Store").touch()


def two_folders(results, right):
    names = sorted(right.iterdir())
    for folder, some in (("first", names[::2]), ("second", names[1::2])):
        (results / folder).mkdir()
        for path in some:
            shutil.copy(path, results / folder)


def names_with_backslashes(results, right):
    for path in right.iterdir():
        shutil.copy(path, results / f"mine\\{path.name}")


def a_zip_in_a_zip(results, right):
    shutil.make_archive(str(results / "predictions"), "zip", right)


def names_in_capitals(results, right):
    for path in right.iterdir():
        shutil.copy(path, results / path.name.upper())


def of_another_type(results, right):
    for path in right.iterdir():
        shutil.copy(path, results / f"{path.stem}.bmp")


def a_link_to_a_folder(results, right):
    (results / "mine").symlink_to(right)


def hundreds_deep(results, right):
    place = results.joinpath(*"a" * 500)
    place.mkdir(parents=True)
    for path in right.iterdir():
        shutil.copy(path, place)


def names_that_are_no_text(results, right):
    for number, path in enumerate(right.iterdir()):
        shutil.copy(path, results / f"\udcff{number}.png")


@pytest.mark.parametrize(
    ("lay", "words"),
    [
        (nothing, "they hold nothing"),
        (two_folders, "they hold first (a folder), second (a folder)"),
        (names_with_backslashes, "they hold mine\\"),
        (a_zip_in_a_zip, "they hold predictions.zip"),
        (names_in_capitals, "differs by case only"),
        (of_another_type, "is of another type"),
        (a_link_to_a_folder, "they hold mine (a folder)"),
        (hundreds_deep, "they hold a (a folder) in a/a/"),
        (names_that_are_no_text, "they hold "),
    ],
)
def test_results_without_any_prediction_end_with_what_is_there_instead(phase, lay, words):
    lay(phase / "app/input/res", phase / "right")
    with pytest.raises(MedbenchError) as refused:
        evaluate_results(FACTS, Roots(phase))
    assert refused.value.code == "input.results"
    assert words in refused.value.message
    assert not (phase / "app/output").exists()


def test_a_missing_prediction_is_told_with_the_name_that_it_may_have(phase):
    results = phase / "app/input/res"
    shutil.copytree(phase / "right", results, dirs_exist_ok=True)
    first = sorted(results.iterdir())[0]
    first.rename(first.with_name(first.name.upper()))
    evaluate_results(FACTS, Roots(phase))
    details = json.loads((phase / "app/output/details.json").read_text())
    (row,) = [row for row in details["cases"] if row["status"] != "ok"]
    assert row["status"] == "missing"
    assert f"{first.name.upper()} differs by case only" in row["reason"]
