"""What a killed process left unfinished is removed by the next that writes there, and nothing else is."""

import os
import subprocess
import sys

import pytest

from medbench.core import unfinished
from medbench.core.files import write_text
from medbench.core.unfinished import left_behind, sweep, unfinished_folder, unfinished_path

pytestmark = pytest.mark.skipif(not unfinished._space(), reason="skipped: processes have no numbers here")
KILLED = """
import os, signal, sys
from pathlib import Path
from medbench.core.files import atomic_path
from medbench.core.unfinished import unfinished_folder
folder = Path(sys.argv[1])
with atomic_path(folder / "volume.nii.gz") as temporary, unfinished_folder(folder) as sample:
    temporary.write_bytes(b"half")
    (sample / "image.png").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def number_of_a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert len(names(tmp_path)) == 2
    assert all(name.startswith(".partial-") for name in names(tmp_path))
    write_text(tmp_path / "record.json", "{}")
    assert names(tmp_path) == ["record.json"]


def test_what_is_being_written_stays(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        theirs = tmp_path / f".partial-{unfinished._space()}-{other.pid}-00.png"
        theirs.touch()
        ours = unfinished_path(tmp_path / "mask.png")
        ours.touch()
        sweep(tmp_path)
        assert names(tmp_path) == sorted([ours.name, theirs.name])
        assert left_behind(tmp_path) == []
        other.communicate(b"\n")
    sweep(tmp_path)
    assert names(tmp_path) == [ours.name]


def test_a_killed_process_whose_end_nobody_has_asked_for_is_dead(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / f".partial-{unfinished._space()}-{other.pid}-00").touch()
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        sweep(tmp_path)
    assert names(tmp_path) == []


def test_writers_that_cannot_be_judged_from_here_keep_their_files(tmp_path):
    number = number_of_a_dead_process()
    left = [
        f".partial-{'0' * 12}-{number}-00.png",  # another machine, an earlier start, another container
        f".partial-{'0' * 32}.png",  # where processes have no numbers
        f"partial-{unfinished._space()}-{number}-00.png",
    ]
    folder = tmp_path / "runs"
    folder.mkdir()
    for name in left:
        (folder / name).touch()
    sweep(folder)
    assert names(folder) == sorted(left)
    assert left_behind(tmp_path) == sorted(folder / name for name in left[:2])


def test_a_link_of_a_dead_writer_goes_and_what_it_leads_to_stays(tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    write_text(target / "image.png", "")
    (tmp_path / f".partial-{unfinished._space()}-{number_of_a_dead_process()}-00").symlink_to(target)
    sweep(tmp_path)
    assert names(tmp_path) == ["elsewhere"]
    assert names(target) == ["image.png"]


def test_names_without_owner_where_the_system_does_not_tell_it(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise FileNotFoundError

    monkeypatch.setattr(os, "readlink", refuse)
    assert unfinished_path(tmp_path / "mask.png").name.count("-") == 1
    number = number_of_a_dead_process()
    (tmp_path / f".partial-{'0' * 12}-{number}-00").touch()
    sweep(tmp_path)
    assert len(names(tmp_path)) == 1


def test_a_folder_that_was_renamed_is_kept(tmp_path):
    with unfinished_folder(tmp_path / "new") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.rename(tmp_path / "sample")
    with unfinished_folder(tmp_path / "new"):
        pass
    assert names(tmp_path) == ["new", "sample"]
    assert names(tmp_path / "new") == []
