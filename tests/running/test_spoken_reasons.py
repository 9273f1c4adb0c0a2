"""What is said of a failed case names its file where it lies; records and journals name no place."""

import json

import numpy as np
import pytest

from medbench.core.progress import SilentProgress
from medbench.io import raster
from medbench.running.declaring import Wishes, declare
from medbench.running.evaluate import evaluate
from medbench.running.run import run


class Listener(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    for index in range(10):
        name, mask = f"p{index}.png", np.zeros((24, 32), np.uint8)
        mask[4 + index : 12 + index, 5:16] = 255
        raster.write_image(tmp_path / "png/images" / name, np.full((24, 32, 3), 9 * index, np.uint8))
        raster.write_label_map(tmp_path / "png/masks" / name, mask)
    declare(tmp_path / "png", "ours", Wishes(labels={"polyp": 255}))
    for kind in ("images", "masks"):
        for path in (tmp_path / "png" / kind).iterdir():
            path.write_bytes(path.read_bytes()[:60])
    return tmp_path / "png"


def _journal(finished):
    lines = (finished.folder / "cases.jsonl").read_text().splitlines()
    return [json.loads(line)["reason"] for line in lines]


def test_evaluate_says_where_the_bad_file_lies(data, tmp_path):
    for path in (data / "masks").iterdir():
        raster.write_label_map(tmp_path / "theirs" / path.name, np.zeros((24, 32), np.uint8))
    listener = Listener()
    finished = evaluate("ours", tmp_path / "theirs", progress=listener)
    assert finished.rows
    for row in finished.rows:
        assert any(line.startswith(f"{row.case}: {data}/masks/{row.case}.png: ") for line in listener.lines)
    assert all(reason.startswith("{data}/masks/") for reason in _journal(finished))


def test_run_says_where_the_bad_file_lies(data):
    listener = Listener()
    finished = run("smp/unet", "ours", weights="none", options={"encoder": "mobilenet_v2"}, progress=listener)
    for row in finished.rows:
        assert any(line.startswith(f"{row.case}: {data}/images/{row.case}.png: ") for line in listener.lines)
    assert all(reason.startswith("{data}/images/") for reason in _journal(finished))
