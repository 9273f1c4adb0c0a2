"""Files appear whole or not at all."""

import hashlib
import json

import numpy as np
import pytest

from medbench.core.files import (
    atomic_path,
    dump_json,
    sha256_json,
    write_bytes,
    write_json,
    write_json_lines,
    write_text,
)
from medbench.core.seals import read_lines


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "record.json"
    write_json(target, {"a": 1})

    class Trouble(Exception):
        pass

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise Trouble

    with pytest.raises(Trouble):
        fail()
    with pytest.raises(TypeError):
        write_bytes(target, "no bytes")
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_suffix_is_kept_while_writing(tmp_path):
    with atomic_path(tmp_path / "volume.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"x")


def test_the_hash_of_a_value_does_not_depend_on_the_order_of_its_keys():
    value = {"split": "test", "model": {"width": 8, "depth": 2}}
    turned = {"model": {"depth": 2, "width": 8}, "split": "test"}
    canonical = '{"model":{"depth":2,"width":8},"split":"test"}'
    assert sha256_json(value) == sha256_json(turned) == hashlib.sha256(canonical.encode()).hexdigest()


def test_nan_never_gets_into_json():
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"dice": float("nan")})


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_journal_loses_only_its_last_line(tmp_path, cut):
    path = tmp_path / "cases.jsonl"
    rows = [{"case": f"case {index}", "value": index / 3} for index in range(4)]
    write_json_lines(path, rows)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    kept = [dict(line.row) for line in read_lines(path) if line.intact]
    assert kept == rows[: len(kept)]
    assert {line.state for line in read_lines(path)} <= {"unsealed", "torn"}
    assert len(kept) >= content[:-cut].count(b"\n")


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    assert [line.state for line in read_lines(path)] == ["unsealed", "unreadable", "unsealed"]


def test_seeds_do_not_depend_on_the_platform():
    from medbench.core.seeds import derived_seed

    assert derived_seed(0) == derived_seed(0)
    assert len({derived_seed(a, b) for a in range(10) for b in range(10)}) == 100
    assert 0 <= derived_seed(1, 2, 3) < 2**63
    assert derived_seed(5) == int(np.random.SeedSequence([5]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def tables(path):
    from medbench.core import seals

    yield lambda: write_text(path, "new")
    yield lambda: write_json(path, {"new": 1})
    yield lambda: write_json_lines(path, [{"new": 1}])
    yield lambda: seals.write_table(path, [seals.sealed_line({"new": 1})])


def test_every_way_of_writing_leaves_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    """The machine stops just before the new file takes the old one's place."""
    path = tmp_path / "table.json"
    for write in tables(path):
        path.write_text("old")
        with monkeypatch.context() as stopped:
            stopped.setattr(type(path), "replace", lambda self, target: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                write()
        assert path.read_text() == "old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["table.json"]
        write()
        assert path.read_text() != "old"
        for rest in tmp_path.glob("*.sha256"):
            rest.unlink()


def test_what_is_written_reaches_the_disk_before_it_takes_the_old_one_s_place(tmp_path, monkeypatch):
    import os

    order = []
    original = type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda number: order.append("kept"))
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda self, to: order.append("replaced") or original(self, to)
    )
    write_text(tmp_path / "a.txt", "x")
    write_bytes(tmp_path / "a.bin", b"x")
    assert order == ["kept", "replaced"] * 2


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from medbench.inference.weights import save_checkpoint

    path = tmp_path / "weights.pt"
    path.write_bytes(b"old")
    with monkeypatch.context() as stopped:
        stopped.setattr(type(path), "replace", lambda self, target: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_checkpoint(path, {"a": torch.zeros(2)}, {})
    assert path.read_bytes() == b"old"
