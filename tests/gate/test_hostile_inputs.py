"""Inputs made to break a whole command: vast files, odd gzip files, names of no text, tables of no row."""

import gzip
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import gate_samples as made
import numpy as np
import pytest
from gate_releases import release
from typer.testing import CliRunner

from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.files import dump_json, read_json
from medbench.core.folders import leaderboards_folder
from medbench.core.project import read_project
from medbench.core.seals import read_lines, seal_of, sealed_line
from medbench.io.caches import content_sha256
from medbench.io.gate import expected
from medbench.io.nifti_mha import read_volume
from medbench.leaderboards.merge import merge
from medbench.leaderboards.results import build_board, load_board
from medbench.nnunet.files import is_model, unpack
from medbench.records.reading import read_run
from medbench.running.evaluate import evaluate
from medbench.running.folders import evaluate_folders
from medbench.running.request_file import read_options
from medbench.running.samples import MARKER, is_sample
from medbench.studies.declaration import read_study


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("releases")


@pytest.fixture
def cvc(home, tmp_path):
    """The release, and a copy of its predictions that a test may damage."""
    made_release = release("cvc_clinicdb", home)
    return made_release, Path(shutil.copytree(made_release.predictions, tmp_path / "p"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("role", ["prediction", "reference"])
def test_a_file_too_large_to_read_is_not_hashed_either(home, tmp_path, role):
    """A terabyte of nothing that takes no disk: hashing it would take an hour."""
    made_release = release("brats2023_gli", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    case = made_release.challenge.cases(root, "test")[0]
    path = predictions / f"{case.id}.nii.gz" if role == "prediction" else case.reference["labels"]
    os.truncate(path, 1 << 40)
    finished = evaluate("brats2023_gli", predictions, data=root)
    assert [row.evidence.get("refusal") for row in finished.rows] == ["file.too_large", *[None] * 4]
    assert (finished.folder / "report.html").is_file()


def test_a_gzip_file_of_several_members_is_one_file(tmp_path):
    path = tmp_path / "a.nii.gz"
    content, right = made.nifti(), made.label_volume()
    long_name = b"\x1f\x8b\x08\x08" + bytes(6) + 70_000 * b"n" + b"\0" + gzip.compress(content, mtime=0)[10:]
    for packed in (
        gzip.compress(content[:300]) + gzip.compress(content[300:400]) + gzip.compress(content[400:]),
        gzip.compress(b"") + gzip.compress(content),
        long_name,
    ):
        path.write_bytes(packed)
        assert gzip.decompress(packed) == content
        assert np.array_equal(read_volume(path).array, right)
    path.write_bytes(2000 * gzip.compress(b"") + gzip.compress(content))
    with pytest.raises(MedbenchError):
        read_volume(path)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.png", b"a\nb.png", b"\x1b[31mred.png", "\u202egnp.png".encode()], ids=range(4)
)
def test_names_of_no_text_are_spelt_out(cvc, name):
    made_release, predictions = cvc
    Path(os.fsdecode(os.fsencode(predictions) + b"/" + name)).write_bytes(made.png())
    finished = evaluate("cvc_clinicdb", predictions, data=made_release.root)
    record = read_json(finished.folder / "record.json")
    (note,) = record["settings"]["notes"]
    assert note.isprintable()
    assert "\\" in note
    assert finished.exit_code == 0


def test_names_of_no_text_in_two_folders(tmp_path):
    for folder in "rp":
        (tmp_path / folder).mkdir()
        for name in (b"a.png", b"\xff.png"):
            place = os.fsencode(tmp_path / folder) + b"/" + name
            Path(os.fsdecode(place)).write_bytes(made.png())
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"], output=tmp_path / "rows.jsonl")
    assert [row.status for row in scores.rows] == ["ok", "ok"]
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["case"] for row in rows} == {row.case for row in scores.rows}


def test_json_keeps_names_that_utf8_cannot_hold():
    assert json.loads(dump_json({"name": "ä\udcff"}).encode()) == {"name": "ä\udcff"}
    assert dump_json({"name": "ä"}) == '{"name": "ä"}'


NESTED = b"[" * 200_000
ODD = {
    "nested": lambda row: NESTED,
    "nested in an entry": lambda row: b'{"key": ' + NESTED,
    "digits": lambda row: b'{"key": ' + b"9" * 6000 + b"}",
    "a list as key": lambda row: sealed_line({**row, "key": []}).encode(),
    "a number as key": lambda row: sealed_line({**row, "key": 5}).encode(),
    "a path as key": lambda row: sealed_line({**row, "key": "../../../elsewhere"}).encode(),
    "no model": lambda row: sealed_line({**row, "model": None}).encode(),
    "a list of metrics": lambda row: sealed_line({**row, "metrics": []}).encode(),
    "a text as value": lambda row: sealed_line({**row, "metrics": {"dice": {"value": "1"}}}).encode(),
    "NaN": lambda row: json.dumps({**row, "metrics": {"dice": {"value": float("nan")}}}).encode(),
    "infinity": lambda row: b'{"metrics": 1e999}',
    "a text": lambda row: b'"text"',
}


@pytest.mark.parametrize("kind", ODD)
def test_a_line_that_is_no_row_is_named_and_stays(cvc, kind):
    made_release, predictions = cvc
    evaluate("cvc_clinicdb", predictions, data=made_release.root)
    boards = leaderboards_folder()
    path = boards / "cvc_clinicdb" / "results.jsonl"
    seal_of(path).unlink()
    content = path.read_bytes() + ODD[kind](dict(read_lines(path)[0].row)) + b"\n"
    path.write_bytes(content)
    for action in (
        lambda: load_board(boards, "cvc_clinicdb"),
        lambda: build_board(boards, "cvc_clinicdb"),
        lambda: evaluate("cvc_clinicdb", predictions, data=made_release.root, name="another"),
    ):
        with pytest.raises(MedbenchError, match="line 2") as caught:
            action()
        assert caught.value.code == "leaderboard.damaged"
    assert path.read_bytes() == content


def test_a_row_that_disagrees_with_its_evidence_is_not_merged(cvc, tmp_path):
    """A row of another leaderboard with a raised value and a right hash of its line."""
    made_release, predictions = cvc
    evaluate("cvc_clinicdb", predictions, data=made_release.root)
    path = leaderboards_folder() / "cvc_clinicdb" / "results.jsonl"
    row = dict(read_lines(path)[0].row)
    row["metrics"] = {**row["metrics"], "dice": {**row["metrics"]["dice"], "value": 0.999}}
    path.write_text(sealed_line(row) + "\n")
    seal_of(path).unlink()
    with pytest.raises(MedbenchError, match="differs in metrics from") as caught:
        merge(tmp_path / "all", [leaderboards_folder()])
    assert caught.value.code == "leaderboard.disagrees"
    assert not list((tmp_path / "all").rglob("*.jsonl"))


@pytest.mark.parametrize("kind", ["nested", "digits", "fifo", "folder", "vast"])
def test_toml_files_that_are_none_are_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "r.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"a = " + {"nested": b"[" * 50_000, "digits": b"9" * 6000, "vast": b"1"}[kind])
    if kind == "vast":
        os.truncate(path, 1 << 40)
    readers = [lambda: read_options(path), lambda: read_study(path), lambda: read_project(path)]
    for read in readers:
        with pytest.raises(MedbenchError) as caught:
            read()
        assert "\n" not in caught.value.message
        assert str(path) in caught.value.message


def test_an_archive_of_weights_that_is_a_bomb_is_refused(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/fold_0/checkpoint_final.pth", bytes(32 << 20))
    with pytest.raises(MedbenchError) as caught:
        unpack(path, tmp_path / "out")
    assert caught.value.code == "archive.too_large"
    os.mkfifo(tmp_path / "weights.pt")
    assert not is_model(tmp_path / "weights.pt")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_leaderboard_that_is_no_file_is_refused_without_waiting(tmp_path, make):
    (tmp_path / "cvc_clinicdb").mkdir()
    make(tmp_path / "cvc_clinicdb" / "results.jsonl")
    with pytest.raises(MedbenchError) as caught:
        load_board(tmp_path, "cvc_clinicdb")
    assert caught.value.code == "file.not_regular"


@pytest.mark.parametrize("line", [NESTED, b'{"case": "a", "scores": []}', b'{"case": [], "scores": {}}'])
def test_rows_of_a_run_that_are_no_rows_are_refused(cvc, line):
    made_release, predictions = cvc
    finished = evaluate("cvc_clinicdb", predictions, data=made_release.root)
    (finished.folder / "cases.jsonl").write_bytes(line + b"\n")
    with pytest.raises(MedbenchError) as caught:
        read_run(finished.folder)
    assert caught.value.code == "run.damaged"


@pytest.mark.parametrize("content", [NESTED, b"[]", b"9" * 6000, b'{"files": {"../../x": "y"}}', b"\xff"])
def test_a_marker_of_a_sample_that_is_none_is_refused(tmp_path, content):
    (tmp_path / MARKER).write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        is_sample(tmp_path)
    assert caught.value.code == "sample.damaged"


def test_an_hdf5_filter_that_would_be_loaded_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    from medbench.io.hdf5_groups import read_group

    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("video_1/features", data=np.zeros((8, 8), np.uint8), scaleoffset=0, chunks=True)
    with pytest.raises(MedbenchError) as caught:
        read_group(path, "video_1", ["features"])
    assert caught.value.code == "file.codec"


def test_the_memory_limit_is_an_option(tmp_path, monkeypatch):
    monkeypatch.setenv(expected.LIMIT_VARIABLE, "")
    for folder in "rp":
        (tmp_path / folder).mkdir()
        image = np.zeros((2000, 2000), np.uint8)
        image[:100, :100] = 1
        (tmp_path / folder / "a.png").write_bytes(made.png(image))
    command = ["evaluate", "-r", str(tmp_path / "r"), "-p", str(tmp_path / "p"), "--metrics", "dice"]
    for limit, code in (("1MiB", 1), ("1GiB", 0)):
        done = CliRunner().invoke(app, [*command, "--memory-limit", limit])
        assert done.exit_code == code, done.output
    assert expected.Expected().memory_bytes == 1 << 30
    with pytest.raises(MedbenchError):
        CliRunner().invoke(app, [*command, "--memory-limit", "much"], catch_exceptions=False)
    monkeypatch.setenv(expected.LIMIT_VARIABLE, str(1 << 16))
    (tmp_path / "a.png").write_bytes(struct.pack("<I", 0) * (1 << 15))
    with pytest.raises(MedbenchError) as caught:
        content_sha256(tmp_path / "a.png")
    assert caught.value.code == "file.too_large"
