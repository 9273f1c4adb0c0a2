"""A third party's metric: registered by a call, a file or an entry point, and one value by every door."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import medbench
from medbench.core.errors import MedbenchError
from medbench.metrics import Convention, evaluate_arrays, metric

PLUGIN = '''
import medbench
from medbench.metrics import Convention, MaskPair


def border_distance(pair: MaskPair) -> float | None:
    """Rows between the top of the image and the prediction: depends on the frame."""
    rows = pair.prediction.any(axis=tuple(range(1, pair.prediction.ndim)))
    return float(rows.argmax()) if rows.any() else None


medbench.register_metric(Convention(
    id="lab.top", title="Rows above", family="overlap", definition="first row of the prediction",
    source="a laboratory", better="lower", range=(0.0, float("inf")), unit="px", target=border_distance,
    needs_frame=True,
))
'''


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    from medbench.metrics.catalogue import METRICS

    monkeypatch.setattr(METRICS, "_targets", dict(METRICS._targets))
    monkeypatch.setattr(METRICS, "_checked", set(METRICS._checked))
    monkeypatch.setattr(METRICS, "_discovered", False)


def top(pair):
    rows = pair.prediction.any(axis=tuple(range(1, pair.prediction.ndim)))
    return float(rows.argmax()) if rows.any() else None


TOP = Convention(
    id="lab.top", title="Rows above", family="overlap", definition="first row of the prediction",
    source="a laboratory", better="lower", range=(0.0, float("inf")), unit="px", target=top,
)  # fmt: skip


@pytest.fixture
def maps():
    reference = np.zeros((60, 50, 40), np.uint8)
    reference[35:45, 20:30, 10:20] = 1
    reference[50:55, 2:9, 30:36] = 2
    return reference, np.roll(reference, 2, axis=0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_value_by_both_doors_when_the_frame_is_declared(maps, order):
    medbench.register_metric(replace(TOP, needs_frame=True))
    maps = [np.asarray(labels, order=order) for labels in maps]
    assert medbench.score("lab.top", *maps, label=1).value == 37
    found = evaluate_arrays(*maps, ["lab.top", "dice"], [1, 2], "pixel")
    assert [found[label]["lab.top"].value for label in ("1", "2")] == [37, 52]


def test_without_the_declaration_the_promise_is_taken_at_its_word_by_both_doors(maps):
    medbench.register_metric(TOP)
    alone = medbench.score("lab.top", *maps, label=1)
    assert alone == evaluate_arrays(*maps, ["lab.top"], [1])["1"]["lab.top"]
    assert alone.value == 2 + 8


@pytest.mark.parametrize("needs_frame", [False, True])
def test_empty_masks_by_both_doors(maps, needs_frame):
    medbench.register_metric(replace(TOP, needs_frame=needs_frame))
    for label in (1, 7):
        pair = maps[0], np.zeros_like(maps[1])
        alone = medbench.score("lab.top", *pair, label=label)
        assert alone == evaluate_arrays(*pair, ["lab.top"], [label])[str(label)]["lab.top"]
        assert alone.status == "undefined"
        assert alone.reason


def test_a_plug_in_file_on_the_command_line(maps, tmp_path):
    from medbench.cli.main import app

    (tmp_path / "lab_top.py").write_text(PLUGIN)
    for name, labels in zip(("r", "p"), maps, strict=True):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "case.npy", labels)
    arguments = ["--plugin", str(tmp_path / "lab_top.py")]
    shown = CliRunner().invoke(app, [*arguments, "metrics", "show", "lab.top", "--json"])
    assert json.loads(shown.output)["needs_frame"] is True
    paths = ["-r", str(tmp_path / "r"), "-p", str(tmp_path / "p")]
    output = tmp_path / "cases.jsonl"
    done = CliRunner().invoke(
        app, [*arguments, "evaluate", *paths, "--metrics", "lab.top,dice", "--output", str(output)]
    )
    assert done.exit_code == 0, done.output
    scores = json.loads(output.read_text().splitlines()[0])["scores"]
    assert scores["1/lab.top"]["value"] == 37
    assert metric("lab.top").origin == "medbench_plugin_lab_top:border_distance"


def test_a_clash_names_both_origins():
    medbench.register_metric(TOP)
    medbench.register_metric(replace(TOP, title="the same function, read again"))
    assert metric("lab.top").title == "the same function, read again"
    for id, first in (("lab.top", f"{__name__}:top"), ("dice", "medbench.metrics.masks.definitions:dice")):
        with pytest.raises(MedbenchError) as raised:
            medbench.register_metric(replace(TOP, id=id, target="other.module:other"))
        assert raised.value.code == "metric.clash"
        assert first in raised.value.message
        assert "other.module:other" in raised.value.message


def entry_points(tmp_path, monkeypatch, module, lines):
    (tmp_path / "lab_metrics.py").write_text(module)
    info = tmp_path / "lab_metrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: lab-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[medbench.metrics]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "lab_metrics", raising=False)


DEFINITION = """
from medbench.metrics import Convention
TOP = Convention(id="lab.top", title="Rows above", family="overlap", definition="rows", source="a laboratory",
                 target=lambda pair: 0.5)
"""


def test_packages_add_metrics_by_entry_point(tmp_path, monkeypatch):
    entry_points(tmp_path, monkeypatch, DEFINITION, "lab.top = lab_metrics:TOP")
    assert "lab.top" in medbench.list_metrics()
    assert medbench.score("lab.top", [True, False], [True, True]).value == 0.5


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            "import nothing_of_that_name\n",
            "cannot be loaded (ModuleNotFoundError: No module named 'nothing_of_that_name'",
        ),
        ("OTHER = 1\n", "cannot be loaded (AttributeError"),
        ("TOP = 1\n", "no Convention but int"),
        (DEFINITION.replace("lab.top", "lab.other"), "its id is 'lab.other'"),
        (
            DEFINITION.replace("lambda pair", "lambda pair, width"),
            "its function cannot be called with (pair)",
        ),
    ],
)
def test_a_bad_entry_point_is_one_line_and_the_rest_works(module, told, tmp_path, monkeypatch):
    entry_points(tmp_path, monkeypatch, module, "lab.top = lab_metrics:TOP")
    with pytest.raises(MedbenchError) as raised:
        metric("lab.top")
    assert raised.value.code in ("metric.definition", "plugin.broken")
    assert told in raised.value.message
    assert "lab.top" in raised.value.message
    assert medbench.score("dice", [True], [True]).value == 1.0


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"id": "Lab top"}, "its id may hold"),
        ({"title": " "}, "its title is missing"),
        ({"definition": ""}, "its definition is missing"),
        ({"source": ""}, "its source is missing"),
        ({"unit": ""}, "its unit is missing"),
        ({"family": "masks"}, "its family 'masks' is none of overlap"),
        ({"better": "up"}, "better is 'up'"),
        ({"range": (1.0, 0.0)}, "does not rise"),
        ({"empty": "definition"}, "no EmptyPolicy"),
        ({"family": "grey", "needs_frame": True}, "needs_frame is for metrics of masks"),
        ({"options": {"spacing": 1}}, "the option 'spacing' has a name"),
        ({"target": "module.function"}, "no 'module:function'"),
        ({"target": 3}, "neither a function nor"),
        ({"target": lambda: 1.0}, "cannot be called with (pair)"),
        ({"options": {"width": 2}}, "cannot be called with (pair, width=…)"),
    ],
)
def test_incomplete_definitions_are_refused(facts, told):
    with pytest.raises(MedbenchError) as raised:
        medbench.register_metric(replace(TOP, **facts))
    assert raised.value.code == "metric.definition"
    assert told in raised.value.message
    assert "lab.top" not in medbench.list_metrics()
