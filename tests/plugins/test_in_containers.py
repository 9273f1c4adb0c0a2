"""Plug-ins of a submission: their files travel and run in the container; packages are refused by name."""

from pathlib import Path

import pytest

from medbench.challenges import REGISTRY
from medbench.core import plugins
from medbench.core.errors import MedbenchError
from medbench.core.plugins import copy_plugins, load_copied_plugins, load_plugin
from medbench.submissions.build.extensions import lint_extensions


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A loaded plug-in of two files."""
    monkeypatch.setattr(plugins, "_files", {})
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "lab_beside.py").write_text("NAME = 'lab'\n")
    path = folder / "lab.py"
    path.write_text(
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\n"
        "import lab_beside\nLOADED = lab_beside.NAME\n"
    )
    load_plugin(path)
    return path


def test_files_travel_with_what_they_import_and_load_from_there(lab, tmp_path, monkeypatch):
    copy_plugins(tmp_path / "app")
    copied = sorted(p.relative_to(tmp_path / "app").as_posix() for p in (tmp_path / "app").rglob("*.py"))
    assert copied == ["00/lab.py", "00/lab_beside.py"]
    monkeypatch.setattr(plugins, "_files", {})
    load_copied_plugins(tmp_path / "app")
    assert [Path(path).parent.name for path in plugins.loaded_plugins()] == ["00"]
    load_copied_plugins(tmp_path / "none")


def test_ours_and_files_pass_and_packages_are_refused_by_name(monkeypatch):
    assert list(lint_extensions("dssau_net", "brats2020")) == []

    def factory():
        raise MedbenchError("never", "called", "")

    factory.__module__ = "lab_challenges.rooms"
    monkeypatch.setitem(REGISTRY._targets, "lab_room", factory)
    (finding,) = lint_extensions("dssau_net", "lab_room")
    assert finding.rule == "submission.plugin"
    assert "challenge lab_room comes from the installed package lab_challenges" in finding.message
    factory.__module__ = "medbench_plugin_lab"
    assert list(lint_extensions("dssau_net", "lab_room")) == []
