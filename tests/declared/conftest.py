"""A working folder for data sets that a project file declares."""

import pytest


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder, with private runs and boards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "boards"))
    return tmp_path
