"""Predictions that a project file declares are scored and compared by their name."""

import json

import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.running.declaring import declare
from medbench.running.evaluate import evaluate


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A declared data set, and two folders of predictions for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "boards"))
    for index in range(12):
        mask = np.zeros((24, 32), np.uint8)
        mask[4 + index : 12 + index, 5:20] = 255
        raster.write_image(tmp_path / f"png/images/{index}.png", np.repeat(mask[..., None] // 2, 3, axis=-1))
        raster.write_label_map(tmp_path / f"png/masks/{index}.png", mask)
        raster.write_label_map(tmp_path / f"ours/{index}.png", mask)
        raster.write_label_map(tmp_path / f"preds/{index}_pred.png", np.roll(mask, 3, axis=1))
    declare(tmp_path / "png", "polyps")
    own(tmp_path, 'folder = "preds"', 'challenge = "polyps"', 'rename = ".png=_pred.png"')
    return tmp_path


def own(place, *lines):
    text = (place / "medbench.toml").read_text().partition("\n[predictions")[0]
    (place / "medbench.toml").write_text("\n".join([text, "[predictions.theirs]", *lines, ""]))


def test_a_name_stands_for_folder_challenge_title_and_file_names(place, command):
    told = command("evaluate", "-p", "theirs", "--json")
    assert told.code == 0, told.err
    record = json.loads(told.out)
    assert record["model"]["title"] == "theirs"
    assert record["challenge"]["name"] == "polyps"
    assert 0.7 < record["metrics"]["dice"]["value"] < 1
    direct = evaluate("polyps", place / "preds", rename=(".png", "_pred.png"), name="theirs")
    assert direct.record.key == record["key"]


def test_compare_takes_the_last_evaluation(place, command):
    command("evaluate", "-p", "theirs")
    finished = evaluate("polyps", "ours")
    for arguments in ((finished.folder, "-p", "theirs"), (finished.folder, "theirs")):
        told = command("compare", *arguments, "--json")
        assert told.code == 0, told.err
        (dice,) = [one for one in json.loads(told.out) if one["metric"] == "dice"]
        assert "theirs" in str(dice["second"])
    for name in place.glob("ours/*.png"):
        mask = raster.read_label_map(name)
        raster.write_label_map(place / "preds" / f"{name.stem}_pred.png", mask)
    again = evaluate("polyps", "theirs")
    told = command("compare", finished.folder, "theirs", "--json")
    assert again.record.key[:8] in told.out


def test_what_was_not_evaluated_yet_says_how(place, command):
    told = command("compare", "-p", "theirs", "-p", "theirs")
    assert told.code == 2
    assert "were not evaluated in" in told.err
    assert "medbench evaluate -p theirs" in told.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['challenge = "polyps"'], "[predictions.theirs]: folder is missing."),
        (['folder = "preds"', 'foldr = "x"'], "'foldr' is no entry of predictions."),
        (['folder = "preds"', "title = 3"], "title is 3."),
        (['folder = "preds"', 'rename = "x"'], "rename is 'x'."),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(place, lines, words):
    own(place, *lines)
    with pytest.raises(MedbenchError) as error:
        evaluate("polyps", "theirs")
    assert words in error.value.message
    assert str(place / "medbench.toml") in error.value.message


def test_a_name_of_two_places_and_a_folder_that_is_not_there_are_refused(place):
    (place / "theirs").mkdir()
    with pytest.raises(MedbenchError, match="is there too") as error:
        evaluate("polyps", "theirs")
    assert error.value.hint.startswith("Write ./theirs")
    (place / "theirs").rmdir()
    own(place, 'folder = "gone"')
    with pytest.raises(MedbenchError, match="gone: there is no such folder of predictions"):
        evaluate("polyps", "theirs")
    assert medbench.load_challenge("polyps").name == "polyps"
