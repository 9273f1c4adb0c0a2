"""What of the package enters containers, evaluation programs and the hash of a run."""

from pathlib import Path

import pytest

from medbench.core.package import package_files

LISTS = Path(__file__).parent / "package_files"
RELEVANT = {".py", ".toml", ".j2", ".typed"}


@pytest.mark.parametrize("use", ["result", "container", "evaluation"])
def test_files_of_a_use_are_the_committed_list(use):
    listed = (LISTS / f"{use}.txt").read_text().split()
    present = [path.as_posix() for path in package_files(use)]
    advice = f"if meant: python tests/core/package_files/write.py (list {use})"
    assert sorted(set(present) - set(listed)) == [], advice
    assert sorted(set(listed) - set(present)) == [], advice


def test_everything_that_makes_a_number_is_in_the_hash():
    rooms = {path.parts[0] for path in package_files("result")}
    needed = {"core", "statistics", "io", "metrics", "models", "challenges", "inference", "training"}
    assert needed | {"records", "nnunet", "running"} <= rooms
    assert not rooms & {"cli", "leaderboards", "profiling", "submissions", "testing"}
