"""Splits that the data give are kept with their hash, and a later change of them is refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.running.declaring import Wishes, declare


def _draw(folder, names, seed=0):
    generator = np.random.default_rng(seed)
    for name in names:
        raster.write_image(folder / f"images/{name}.png", generator.integers(0, 255, (24, 32, 3), np.uint8))
        mask = np.zeros((24, 32), np.uint8)
        mask[4:12, 5:20] = 255
        raster.write_label_map(folder / f"masks/{name}.png", mask)


def _declared(place, group=None):
    _draw(place / "png/train", ["a1", "a2", "b1", "b2"])
    _draw(place / "png/test", ["c1", "d1"], seed=1)
    return declare(place / "png", "ours", Wishes(labels={"polyp": 255}, group=group))


def _ids(split):
    return [case.id for case in medbench.load_challenge("ours").cases(Path("png"), split)]


def _move(case, old, new):
    for kind in ("images", "masks"):
        shutil.move(f"png/{old}/{kind}/{case}.png", f"png/{new}/{kind}/{case}.png")


def test_given_splits_are_written_with_their_hash_and_known_to_records(place):
    lines = _declared(place).lines
    assert "splits: test 2, train 4, kept in ours.splits.json" in lines
    kept = json.loads((place / "ours.splits.json").read_text())
    assert kept["rule"] == "given"
    assert kept["splits"] == {"test": ["c1", "d1"], "train": ["a1", "a2", "b1", "b2"]}
    facts = medbench.load_challenge("ours").release.split_facts("test")
    assert facts.cases == 2
    assert len(facts.names_sha256) == 64
    assert facts.rule == "given by the data set, kept in ours.splits.json (own)"


def test_a_case_that_moved_is_named_and_the_change_can_be_accepted(place):
    _declared(place)
    _move("d1", "test", "train")
    for call in (lambda: _ids("test"), lambda: medbench.load_challenge("ours").release.check(place / "png")):
        with pytest.raises(MedbenchError) as error:
            call()
        assert error.value.code == "splits.changed"
        assert error.value.message == (
            "ours: 1 case has moved since ours.splits.json was written: d1 from test to train."
        )
    assert f"to accept the change, remove {place / 'ours.splits.json'}:" in error.value.hint
    (place / "ours.splits.json").unlink()
    assert _ids("train") == ["a1", "a2", "b1", "b2", "d1"]
    assert json.loads((place / "ours.splits.json").read_text())["splits"]["test"] == ["c1"]


def test_new_cases_join_no_split_and_gone_ones_make_a_subset(place):
    _declared(place)
    _draw(place / "png/test", ["e1"], seed=2)
    (place / "png/test/images/c1.png").unlink()
    (place / "png/test/masks/c1.png").unlink()
    challenge = medbench.load_challenge("ours")
    assert _ids("test") == ["d1"]
    assert challenge.release.completeness(place / "png", "test") == (1, 2)
    findings = {finding.message: finding for finding in challenge.release.check(place / "png")}
    fresh = findings["1 case is in no split: e1."]
    gone = findings["1 case of the splits is not in the folder: c1."]
    assert (fresh.severity, gone.severity) == ("warning", "error")
    assert all("remove ours.splits.json" in finding.advice for finding in (fresh, gone))


def test_an_edited_file_and_other_names_are_refused(place):
    _declared(place)
    file = place / "ours.splits.json"
    before = file.read_text()
    kept = json.loads(before)
    kept["splits"]["test"].append(kept["splits"]["train"].pop())
    file.write_text(json.dumps(kept))
    with pytest.raises(MedbenchError, match="not those of its hash") as error:
        _ids("test")
    assert "to take the splits of the data, remove it" in error.value.hint
    file.write_text(before)
    project = place / "medbench.toml"
    project.write_text(project.read_text().replace('["test", "train"]', '["test", "train", "val"]'))
    with pytest.raises(MedbenchError, match="the declaration says"):
        _ids("test")


def test_a_split_that_held_nothing_takes_what_it_is_given(place):
    _declared(place)
    (place / "ours.splits.json").unlink()
    shutil.move(place / "png/test", place / "later")
    assert len(_ids("train")) == 4
    shutil.move(place / "later", place / "png/test")
    assert _ids("test") == ["c1", "d1"]
    _draw(place / "png/test", ["e1"], seed=2)
    assert _ids("test") == ["c1", "d1"]


def test_splits_that_share_a_group_are_not_kept_so_that_they_can_be_corrected(place):
    _draw(place / "png/train", ["a1", "b1"])
    _draw(place / "png/test", ["a2", "c1"], seed=1)
    declare(place / "png", "ours", Wishes(labels={"polyp": 255}, group="([a-z])"))
    assert not (place / "ours.splits.json").exists()
    with pytest.raises(MedbenchError, match="1 of 3 groups lies in more than one split: a"):
        _ids("test")
    _move("a2", "test", "train")
    assert _ids("test") == ["c1"]
    assert (place / "ours.splits.json").exists()


def test_folders_of_hospitals_are_told_from_patients(place):
    for site in ("Aachen", "Köln"):
        _draw(place / "png" / site, [f"p{number // 4:02}_{number}" for number in range(20)])
    with pytest.raises(MedbenchError) as error:
        declare(place / "png", "ours", Wishes(labels={"polyp": 255}, folds=4))
    assert error.value.code == "splits.few"
    assert error.value.message == "ours: 2 groups with a reference are too few for 4 folds."
    assert error.value.hint.startswith(
        "Each folder is a group (Aachen, Köln). Where a folder is a hospital and"
    )
    assert "on names such as Aachen/p00_0" in error.value.hint
    declared = declare(place / "png", "ours", Wishes(labels={"polyp": 255}, folds=4, group=r"(.+/p\d+)_"))
    assert not [line for line in declared.lines if "folders are the groups" in line]
    folds = json.loads((place / "ours.splits.json").read_text())["splits"]
    assert sum(len(folds[f"fold{number}"]) for number in range(1, 5)) == 40


def test_few_large_folders_are_questioned_on_declaring(place):
    for site in ("a", "b", "c", "d"):
        _draw(place / "png" / site, [str(number) for number in range(10)])
    lines = declare(place / "png", "ours", Wishes(labels={"polyp": 255})).lines
    assert any("4 folders are the groups" in line for line in lines)
    assert any("Where a folder is a hospital and not a patient" in line and "a/0" in line for line in lines)
