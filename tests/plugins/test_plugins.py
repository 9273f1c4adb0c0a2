"""Plug-ins: their identity in keys and records, the command that repeats a run, and broken ones."""

import json
import re
import shlex
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "tasks" / "plugin.py"
ENTRY_POINTS = "[medbench.models]\nlab/net = lab_models:ENTRY\n"


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "lab.py"
    path.write_text(TINY.read_text())
    return path


def run(medbench, plugin, *more):
    done = medbench(
        "--plugin", plugin, "run", "-m", "tiny/label_map", "-c", "tiny_label_map", "--weights", "none",
        "--runs", "runs", "--leaderboards", "boards", *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = re.search(r"Record: (\S+record\.json)", done.stdout)[1]
    repeat = re.search(r"Repeat: (.+)", done.stdout)[1]
    return {**json.loads((plugin.parent / record).read_text()), "repeat": repeat}


def test_a_changed_plugin_or_module_beside_it_is_another_run_and_its_hash_is_in_the_record(medbench, plugin):
    beside = plugin.with_name("lab_sizes.py")
    beside.write_text("HEIGHT = 12\n")
    plugin.write_text(
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\n"
        "import lab_sizes\n" + plugin.read_text()
    )
    first = run(medbench, plugin)
    again = run(medbench, plugin)
    assert again["key"] == first["key"]
    beside.write_text("HEIGHT = 13\n")
    other = run(medbench, plugin)
    beside.write_text("HEIGHT = 12\n")
    plugin.write_text(plugin.read_text().replace("100 / 255", "90 / 255"))
    changed = run(medbench, plugin)
    records = (first, other, changed)
    assert len({record["key"] for record in records}) == 3
    assert [set(record["settings"]["plugins"]) for record in records] == [{"lab.py"}] * 3
    assert len({str(record["settings"]["plugins"]) for record in records}) == 3


def test_the_repeat_command_names_plugin_cases_and_seed(medbench, plugin):
    first = run(medbench, plugin, "--cases", "test[0-3]", "--seed", "7")
    words = shlex.split(first["repeat"])
    assert words[words.index("--plugin") + 1] == str(plugin)
    assert f"--plugin {{plugins}}/{plugin.name} " in first["command"]
    assert words[words.index("--cases") + 1] == "test[0-3]"
    assert words[words.index("--seed") + 1] == "7"
    repeated = medbench(*words[1:], "--runs", "runs", "--leaderboards", "boards")
    assert repeated.returncode == 0, repeated.stderr
    assert first["key"][:16] in repeated.stdout


def test_a_plugin_that_fails_is_one_line(medbench, plugin):
    plugin.write_text("import math\n\nmath.nothing\n")
    done = medbench("--plugin", plugin, "models")
    assert done.returncode == 2
    assert done.stderr.count("\n") <= 2
    assert "lab.py: the plug-in cannot be loaded (AttributeError" in done.stderr
    assert "line 3 of lab.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("def broken(:\n", "SyntaxError"),
        ("ENTRY = 5\n", "not a ModelEntry"),
        ("", "has no attribute 'ENTRY'"),
    ],
)
def test_a_broken_package_is_one_line_and_the_rest_works(medbench, tmp_path, source, told):
    site = tmp_path / "site"
    info = site / "lab_models-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lab_models.py").write_text(source)
    (info / "METADATA").write_text("Name: lab-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "RECORD").write_text("lab_models.py,sha256=1,1\n")
    listed = medbench("models", "--match", "*net*", PYTHONPATH=str(site))
    assert listed.returncode == 0, listed.stderr
    assert "dssau_net" in listed.stdout
    assert told in listed.stderr
    assert listed.stderr.count("\n") == 1
    asked = medbench("models", "show", "lab/net", PYTHONPATH=str(site))
    assert asked.returncode == 2
    assert told in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_packages_version_and_files_are_in_the_key(medbench, plugin, tmp_path):
    first = run(medbench, plugin)
    site = tmp_path / "site"
    info = site / "lab_models-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lab_models.py").write_text(
        "from medbench.models import ModelEntry\nENTRY = ModelEntry('lab/net', 'L')\n"
    )
    (info / "METADATA").write_text("Name: lab-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    records = []
    for digest in ("aaa", "bbb"):
        (info / "RECORD").write_text(f"lab_models.py,sha256={digest},1\n")
        done = medbench(
            "--plugin", plugin, "run", "-m", "tiny/label_map", "-c", "tiny_label_map", "--weights", "none",
            "--runs", f"runs-{digest}", "--leaderboards", "boards", PYTHONPATH=str(site),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        record = re.search(r"Record: (\S+record\.json)", done.stdout)[1]
        records.append(json.loads((tmp_path / record).read_text()))
    assert set(records[0]["settings"]["plugins"]) == {"lab.py", "lab-models 1.0"}
    assert len({first["key"], *(record["key"] for record in records)}) == 3


def test_challenges_and_platforms_that_are_none_are_refused_by_name():
    import medbench
    from medbench.core.errors import MedbenchError

    with pytest.raises(MedbenchError, match="returns int, not a Challenge"):
        medbench.register_challenge("lab_none", lambda: 5)
    with pytest.raises(MedbenchError, match="calls itself 'hc18'"):
        medbench.register_challenge("lab_other", lambda: medbench.load_challenge("hc18"))
    with pytest.raises(MedbenchError, match="no subclass of Platform"):
        medbench.register_platform("lab", int)
    assert "lab_none" not in medbench.list_challenges()
