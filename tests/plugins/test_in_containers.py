"""Plug-ins of a submission: their files travel and run in the container; packages are refused by name."""

import json
from pathlib import Path

import pytest

from medbench.challenges import REGISTRY, load_challenge
from medbench.core import plugins
from medbench.core.errors import MedbenchError
from medbench.core.plugins import copy_plugins, load_copied_plugins, load_plugin
from medbench.submissions.build.extensions import lint_extensions
from medbench.submissions.template import submission_text

TINY = Path(__file__).parents[1] / "tasks/plugin.py"
AS_IMAGES = """

def _write(self, prediction, case, folder):
    path = folder / self.prediction_name(case)
    write_image(path, prediction["label_map"][0].astype(np.uint8))
    return path


TinyExchange.prediction_name = lambda self, case: f"{case.id}.png"
TinyExchange.write = _write
"""
SUBMISSION = """
name = "tiny"
challenge = "tiny_label_map"
model = "tiny/label_map"
platform = "grand-challenge"
[weights]
file = "none"
[[interfaces]]
[[interfaces.inputs]]
slug = "scan"
path = "images/scan"
[[interfaces.outputs]]
slug = "depth"
path = "images/depth"
"""


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


def test_a_new_submission_of_what_cannot_travel_is_refused_by_name(monkeypatch):
    psfhs = load_challenge("psfhs")

    def factory():
        return psfhs

    factory.__module__ = "lab_challenges.rooms"
    monkeypatch.setitem(REGISTRY._targets, "psfhs", factory)
    with pytest.raises(MedbenchError, match="comes from the installed package lab_challenges"):
        submission_text("psfhs", "dssau_net", "grand-challenge")


@pytest.mark.slow
@pytest.mark.parametrize("as_images", [True, False])
def test_a_model_and_a_challenge_of_a_file_run_in_the_container_as_here(medbench, tmp_path, as_images):
    """The container finds neither the file nor the working folder, but what travelled."""
    (tmp_path / "tiny.toml").write_text(SUBMISSION)
    (tmp_path / "lab.py").write_text(TINY.read_text() + AS_IMAGES * as_images)
    words = ("submit", "rehearse", "tiny.toml", "--engine", "none", "--count", "1", "--json")
    done = medbench("--plugin", "lab.py", *words)
    if not as_images:
        assert done.returncode == 2
        assert "tiny_label_map reads no predictions of its own" in done.stderr
        return
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "build/tiny/rehearsal.json").read_text())
    assert (report["passed"], report["identical_outputs"]) == (True, 2)
    travelled = (tmp_path / "build/tiny/context/app/plugins").rglob("*.py")
    assert [path.name for path in travelled] == ["lab.py"]
