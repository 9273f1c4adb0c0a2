"""``medbench metrics`` as somebody with two numbers that disagree would use it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.cli.metrics import app
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.metrics import list_metrics
from medbench.metrics.checks import one_pair as comparing
from medbench.metrics.checks.empty_masks import outcomes_of_empty_masks


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def files(tmp_path):
    reference = np.zeros((30, 30), np.uint8)
    reference[5:15, 5:15] = 1
    prediction = reference.copy()
    prediction[25:28, 25:28] = 1
    paths = []
    for name, array in (("reference", reference), ("prediction", prediction)):
        np.save(tmp_path / f"{name}.npy", array)
        paths.append(str(tmp_path / f"{name}.npy"))
    return paths


def test_list_and_show():
    listed = json.loads(run("list", "--json").stdout)
    assert [entry["id"] for entry in listed] == list_metrics()
    assert run().stdout
    assert "hd95.pooled" in run("list", "--match", "hd95.*").stdout
    shown = json.loads(run("show", "hd95.area", "--json").stdout)
    assert shown["source"]
    assert "area-weighted" in run("show", "hd95.area").stdout
    unknown = run("show", "hd59")
    assert isinstance(unknown.exception, MedbenchError)


def test_compare(files):
    result = json.loads(run("compare", *files, "--json").stdout)
    values = {row["id"]: row["value"] for row in result["metrics"]}
    assert result["unit"] == "px"
    assert values["hd95.pooled"] < values["hd95.max"]
    assert {row["unit"] for row in result["metrics"] if row["id"].startswith("hd")} == {"px"}
    table = run("compare", *files, "--spacing", "0.5,0.5").stdout
    assert "both directions joined" in table
    assert "mm" in table


def test_compare_with_libraries(files):
    pytest.importorskip("medpy", reason="medpy is not installed")
    result = json.loads(run("compare", *files, "--with", "medpy,simpleitk", "--json").stdout)
    verdicts = {row["function"]: row["verdict"] for row in result["libraries"]}
    assert verdicts["binary.hd95"] == "equal"
    assert all(verdict.startswith("equal") for verdict in verdicts.values()), verdicts
    assert "verdict" in run("compare", *files, "--with", "medpy").stdout


def test_compare_asks_for_a_label(tmp_path, files):
    labels = np.arange(16).reshape(4, 4) % 3
    np.save(tmp_path / "labels.npy", labels)
    path = str(tmp_path / "labels.npy")
    failed = run("compare", path, path)
    assert isinstance(failed.exception, MedbenchError)
    assert failed.exception.code == "metric.labels"
    chosen = json.loads(run("compare", path, path, "--label", "1", "--label", "2", "--json").stdout)
    assert chosen["n_reference"] == (labels > 0).sum()
    unknown = run("compare", *files, "--with", "nobody")
    assert isinstance(unknown.exception, MedbenchError)
    assert unknown.exception.code == "library.unknown"
    spaced = run("compare", *files, "--spacing", "wide")
    assert isinstance(spaced.exception, MedbenchError)
    assert spaced.exception.code == "metric.spacing"


def test_spacings_that_differ_are_refused():
    array = np.zeros((4, 4), np.uint8)
    volumes = Volume(array, (1.0, 1.0)), Volume(array, (1.0, 2.0))
    with pytest.raises(MedbenchError, match=r"Spacing differs.*a\.mha.*b\.mha") as raised:
        comparing.compare_pair(*volumes, names=("a.mha", "b.mha"))
    assert raised.value.code == "geometry.spacing"
    found = comparing.compare_pair(*volumes, spacing=(3.0, 3.0))
    assert found["spacing"] == [3.0, 3.0]
    found = comparing.compare_pair(volumes[0], Volume(array))
    assert (found["spacing"], found["unit"]) == ([1.0, 1.0], "mm")


def test_patterns_reach_lesions():
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    found = comparing.compare_pair(Volume(mask, (1.0, 1.0, 1.0)), Volume(mask), pattern="*.lesionwise.*")
    for row in found["metrics"]:
        assert row["value"] == pytest.approx(0.0 if row["id"].startswith("hd95") else 1.0), row["id"]
    with pytest.raises(MedbenchError):
        comparing.compare_pair(Volume(mask), Volume(mask), pattern="kendall")


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("hd95.pooled", ("undefined", "undefined", "undefined")),
        ("dice", ("undefined", "0", "0")),
        ("dice.transunet", ("0", "0", "1")),
        ("hd95.lesionwise.brats2023_gli", ("0", "0", "374")),
        ("f1.kpis.official", ("0", "0", "0")),
    ],
)
def test_a_definition_says_what_it_gives_for_empty_masks(name, outcomes):
    assert tuple(outcomes_of_empty_masks(name).values()) == outcomes
    told = " ".join(run("show", name).stdout.replace("│", " ").split())
    words = zip(("both masks", "only the prediction", "only the reference"), outcomes, strict=True)
    assert all(f"{which}: {outcome}" in told for which, outcome in words)
