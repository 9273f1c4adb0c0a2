"""What macOS and Windows leave beside every file changes neither cases nor scores, in any challenge."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from gate_releases import CHALLENGES, release

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.running.evaluate import evaluate
from medbench.running.shard import read_shards

SCORED = ("kvasir_polyp", "brain_tumor_mri", "colonpath", "siim_pneumothorax", "iugc2025")
"""Challenges that a table, boxes, classes or landmarks answer, and what is quickly scored."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("releases")


def sidecar():
    head = struct.pack(">II16sH", 0x00051607, 0x00020000, b"Mac OS X        ", 2)
    return head + bytes(4096 - len(head))


def strew(root):
    """Put a sidecar beside every file, all of them again below __MACOSX, and lists of folders."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            path.with_name(f"._{path.name}").write_bytes(sidecar())
            double = root / "__MACOSX" / path.relative_to(root).with_name(f"._{path.name}")
            double.parent.mkdir(parents=True, exist_ok=True)
            double.write_bytes(sidecar())
    for folder in [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]:
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"x")


def listed(challenge, root, split):
    """Ids and files of a split's cases, or why it has none."""
    try:
        cases = challenge.cases(root, split)
    except MedbenchError as error:
        return error.message
    return [(case.id, sorted(path.relative_to(root).as_posix() for path in case.files)) for case in cases]


@pytest.mark.parametrize("name", CHALLENGES)
def test_sidecars_change_no_case(name, home, tmp_path):
    made = release(name, home)
    root, predictions = (
        Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (made.root, made.predictions)
    )
    splits = made.challenge.release.splits
    before = [listed(made.challenge, root, split) for split in splits]
    rows = evaluate(name, predictions, data=root, split=made.split).rows if name in SCORED else ()
    strew(root)
    strew(predictions)
    assert [listed(made.challenge, root, split) for split in splits] == before
    for case in made.challenge.cases(root, made.split):
        place = made.challenge.exchange.locate(case, predictions)
        assert place is not None
        assert not place.name.startswith("._")
    if rows:
        again = evaluate(name, predictions, data=root, split=made.split).rows
        assert [(row.case, row.scores) for row in again] == [(row.case, row.scores) for row in rows]


def test_sidecars_of_the_starting_kit_are_no_videos(tmp_path):
    from gate_samples import avi

    for name in ("neg/a.avi", "pos/b/b.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(avi())
    (tmp_path / "pos/b/mask").mkdir()
    before = listed(load_challenge("iugc2024"), tmp_path, "test")
    assert [case for case, _ in before] == ["classification/b", "classification/a"]
    strew(tmp_path)
    assert listed(load_challenge("iugc2024"), tmp_path, "test") == before


def test_sidecars_are_no_annotations_of_summe(tmp_path):
    from scipy.io import savemat

    from medbench.challenges.summe.annotations import SumMeFiles

    (tmp_path / "GT").mkdir()
    for name in ("Fire", "Fire Two", "fire"):
        savemat(tmp_path / "GT" / f"{name}.mat", {"user_score": np.ones((4, 2))})
    files = SumMeFiles()
    place = files.locate(tmp_path)
    before = files.names(place)
    strew(tmp_path)
    assert files.names(files.locate(tmp_path)) == before == ["Fire", "Fire Two", "fire"]
    shutil.rmtree(place)
    place.mkdir()
    (place / "._Fire.mat").write_bytes(sidecar())
    assert files.locate(tmp_path) is None


def test_sidecars_are_no_shards(tmp_path):
    (tmp_path / "._1-of-2.json").write_bytes(sidecar())
    with pytest.raises(MedbenchError) as caught:
        read_shards([tmp_path], "medbench run")
    assert caught.value.code == "shard.none"
