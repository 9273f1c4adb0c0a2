"""Plug-ins: their identity in keys and records, the command that repeats a run, and broken ones."""

import json
import re
import shlex
from pathlib import Path

import pytest

from medbench.core import plugins
from medbench.core.errors import MedbenchError
from medbench.core.imported_files import imported_files
from medbench.core.plugins import copy_plugins, load_copied_plugins, load_plugin, plugin_hashes

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

    with pytest.raises(MedbenchError, match="returns int, not a Challenge"):
        medbench.register_challenge("lab_none", lambda: 5)
    with pytest.raises(MedbenchError, match="calls itself 'hc18'"):
        medbench.register_challenge("lab_other", lambda: medbench.load_challenge("hc18"))
    with pytest.raises(MedbenchError, match="no subclass of Platform"):
        medbench.register_platform("lab", int)
    assert "lab_none" not in medbench.list_challenges()


def test_what_a_plugin_imports_inside_a_function_is_its_own(tmp_path):
    files = {
        "lab.py": "import medbench\n\ndef build():\n    from lab_parts import net\n    import lab_sizes\n",
        "lab_sizes.py": "WIDTH = 8\n",
        "lab_parts/__init__.py": "",
        "lab_parts/net.py": "from . import blocks\nfrom .deep.layer import Layer\n",
        "lab_parts/blocks.py": "",
        "lab_parts/deep/__init__.py": "",
        "lab_parts/deep/layer.py": "def broken(:\n",
        "another.py": "",
        "medbench.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = {path.relative_to(tmp_path).as_posix() for path in imported_files(tmp_path / "lab.py")}
    assert own == set(files) - {"another.py", "medbench.py"}
    load_plugin(tmp_path / "lab.py")
    before = plugin_hashes()["lab.py"]
    (tmp_path / "lab_sizes.py").write_text("WIDTH = 9\n")
    assert plugin_hashes()["lab.py"] != before


def test_files_that_a_plugin_opens_are_in_its_hash_and_travel(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_files", {})
    folder = tmp_path / "lab"
    (folder / "tables" / "__pycache__").mkdir(parents=True)
    (folder / "tables" / "__pycache__" / "sizes.pyc").write_text("")
    for name in ("sizes.json", "tables/a.csv", "tables/deep.csv", "tables/.hidden", "another.json"):
        (folder / name).write_text("1")
    (folder / "lab.py").write_text('medbench_files = ["sizes.json", "tables"]\n')
    load_plugin(folder / "lab.py")
    hashes = [plugin_hashes()["lab.py"]]
    for name in ("sizes.json", "tables/a.csv", "tables/new.csv"):
        (folder / name).write_text("2")
        hashes.append(plugin_hashes()["lab.py"])
    assert len(set(hashes)) == 4
    for name in ("another.json", "tables/.hidden", "tables/__pycache__/sizes.pyc"):
        (folder / name).write_text("2")
    assert plugin_hashes()["lab.py"] == hashes[-1]
    copy_plugins(tmp_path / "app")
    files = {path.relative_to(tmp_path / "app" / "00").as_posix() for path in (tmp_path / "app").rglob("*.*")}
    assert files == {"lab.py", "sizes.json", "tables/a.csv", "tables/deep.csv", "tables/new.csv"}
    monkeypatch.setattr(plugins, "_files", {})
    load_copied_plugins(tmp_path / "app")
    assert plugin_hashes()["lab.py"] == hashes[-1]
    (tmp_path / "app" / "00" / "sizes.json").unlink()
    with pytest.raises(MedbenchError, match=r"its medbench_files name 'sizes\.json'"):
        plugin_hashes()


def test_a_file_that_a_plugin_opens_is_in_the_key_of_a_run(medbench, plugin):
    (plugin.parent / "sizes.json").write_text("1")
    plugin.write_text('medbench_files = ["sizes.json"]\n' + plugin.read_text())
    first = run(medbench, plugin)
    (plugin.parent / "sizes.json").write_text("2")
    assert run(medbench, plugin)["key"] != first["key"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'sizes.json'", "are no list of names"),
        ("[1]", "are no list of names"),
        ("['none.json']", "name 'none.json', which is no file and no folder with files beside it"),
        ("['../other.json']", "name '../other.json'"),
        ("['link.json']", "name 'link.json'"),
        ("['empty']", "name 'empty'"),
    ],
)
def test_files_that_are_not_beside_a_plugin_are_refused(tmp_path, value, told):
    folder = tmp_path / "lab"
    (folder / "empty").mkdir(parents=True)
    (tmp_path / "other.json").write_text("1")
    (folder / "link.json").symlink_to(tmp_path / "other.json")
    (folder / "lab.py").write_text(f"medbench_files = {value}\n")
    with pytest.raises(MedbenchError, match=re.escape(told)) as caught:
        load_plugin(folder / "lab.py")
    assert caught.value.code == "plugin.files"
    assert folder / "lab.py" not in plugins.loaded_plugins()


def test_every_file_of_an_editable_package_is_in_its_hash(tmp_path, monkeypatch):
    package, info = tmp_path / "lab_editable", tmp_path / "lab_editable-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.json").write_text("1")
    (info / "METADATA").write_text("Name: lab-editable\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medbench.models]\nlab/editable = lab_editable:ENTRY\n")
    (info / "direct_url.json").write_text('{"url": "file:///", "dir_info": {"editable": true}}')
    monkeypatch.syspath_prepend(str(tmp_path))
    before = plugin_hashes()["lab-editable 1.0"]
    (package / "sizes.json").write_text("2")
    assert plugin_hashes()["lab-editable 1.0"] != before


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [
        ("import sys\nsys.exit(0)\n", "plugin.broken", "SystemExit: 0, line 2 of lab.py"),
        ("import medbench\nmedbench.register_model(5)\n", "model.entry", "is int, not a ModelEntry"),
        ("import medbench\nmedbench.register_metric(5)\n", "metric.definition", "is no Convention but int"),
        ("import medbench\nmedbench.register_task(5)\n", "task.class", "is int, not a Task"),
        ("import medbench\nmedbench.register_platform('lab', int)\n", "platform.class", "no subclass"),
        (
            "import medbench\nfrom medbench.submissions.platforms.folders import FolderPlatform\n"
            "medbench.register_platform('lab', type('Lab', (FolderPlatform,), {'name': 'lab'}))\n",
            "platform.class",
            "lacks place",
        ),
        ("import medbench\nmedbench.register_challenge('lab', int)\n", "challenge.factory", "returns int"),
    ],
)
def test_a_plugin_whose_registration_is_refused_is_named(tmp_path, source, code, told):
    path = tmp_path / "lab.py"
    path.write_text(source)
    with pytest.raises(MedbenchError) as caught:
        load_plugin(path)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{path}: ")
    assert told in caught.value.message
