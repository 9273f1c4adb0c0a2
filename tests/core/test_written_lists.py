"""Lists that programs of the tests write are whole, or as they were."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from medbench.challenges import all_challenges
from medbench.core.files import read_json
from medbench.running.samples import HASHES

TESTS = Path(__file__).parents[1]
PROGRAMS = {
    "core/package_files/write.py": ["result.txt", "container.txt", "evaluation.txt"],
    "gate/test_nobody_else_opens.py": ["own_files.json"],
}
WRITERS = [*PROGRAMS, "challenges/write_sample_hashes.py", "metrics/test_values.py"]


def loaded(path):
    specification = importlib.util.spec_from_file_location("a_writer", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_write_that_fails_leaves_the_list_as_it_was(program, tmp_path, monkeypatch):
    source = TESTS / program
    for name in (source.name, *PROGRAMS[program]):
        if (source.parent / name).exists():
            shutil.copy(source.parent / name, tmp_path)
    if "package_files" in program:
        for name in PROGRAMS[program]:
            (tmp_path / name).write_text("as it was")
    before = {name: (tmp_path / name).read_bytes() for name in PROGRAMS[program]}
    module = loaded(tmp_path / source.name)

    def no_space(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match="No space left"):
            module.write()
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.glob(".partial*"))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    module.write()
    for name, content in before.items():
        assert len((tmp_path / name).read_bytes()) >= len(content)


@pytest.mark.parametrize("program", WRITERS)
def test_no_program_writes_a_list_in_place(program):
    source = (TESTS / program).read_text()
    assert "write_text(" in source
    assert ".write_text(" not in source


def test_every_sample_has_its_hashes():
    hashes = read_json(HASHES)
    for challenge in (c for c in all_challenges() if not c.name.startswith("tiny_")):
        entries = hashes[f"{challenge.release.data_set}-{challenge.release.sample_version}"]
        assert entries == sorted(set(entries))
        assert entries
