"""Costs beside results: one input size and one machine a column, and who is on the Pareto front."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from medbench.challenges import load_challenge
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.case_figures import BoardEvidence
from medbench.leaderboards.costs import (
    PARAMETERS,
    TIME,
    UNKNOWN,
    CostColumns,
    Point,
    RunTime,
    cost_columns,
    pareto_front,
    pareto_plots,
    pareto_svg,
    with_costs,
)
from medbench.leaderboards.naming import without_common_marks
from medbench.leaderboards.rendering import html, latex, markdown
from medbench.leaderboards.results import load_board
from medbench.profiling.records import CostRecord, Hardware, ProfileRecord

SHIPPED = Path(__file__).parents[2] / "leaderboards"
SHIPPED_BOARDS = re.findall(r'^    "(\w+)": Plan\(', (SHIPPED / "make_rows.py").read_text(), re.MULTILINE)
"""Those that are made for the repository; a user's own runs put others beside them."""
COST = CostRecord(
    parameters=1,
    trainable_parameters=1,
    parameter_bytes=4,
    buffer_bytes=0,
    file_bytes=10,
    macs=2_000_000_000,
    flops=4_000_000_000,
    other_flops=1,
    kinds={},
    attention_macs=0,
    uncounted={},
    activation_bytes=None,
    activation_batch=1,
    counter="c",
    way="shapes",
)


def record(model, *, machine="A", side=256, macs=2e9, p50_s=0.1, steady=True, options=None, **changes):
    facts = {
        "key": f"{model}{machine}{side}{changes}",
        "model": model,
        "title": model,
        "options": options or {},
        "num_classes": 2,
        "shape": (3, side, side),
        "batch": 1,
        "device": "cpu",
        "precision": "fp32",
        "channels_last": False,
        "compiled": False,
        "cost": COST.model_copy(update={"macs": int(macs)}),
        "memory": {},
        "latency": {"status": "ok", "p50_s": p50_s, "steady": steady},
        "hardware": Hardware(key=machine, processor="p", cores=1, threads=1, accelerator=None, torch="2"),
        "medbench": "0",
        "measured": "now",
    }
    return ProfileRecord(**{**facts, **changes})


def row(key, model, options=None, parameters=5_000_000):
    return {"key": key, "model": model, "options": options or {}, "parameters": parameters}


def test_a_time_never_shares_a_column_with_another_machine():
    columns = cost_columns(
        [row("1", "a"), row("2", "b")], [record("a", machine="A"), record("b", machine="B", p50_s=0.05)]
    )
    assert columns.headings == (
        PARAMETERS,
        "GMACs at 3×256×256",
        "p50 [ms] at 3×256×256, A",
        "p50 [ms] at 3×256×256, B",
    )
    assert columns.of("1") == ("5.00", "2.000", "100", "–")
    assert columns.of("2") == ("5.00", "2.000", "–", "50")
    assert columns.of("unknown") == ("–",) * 4


def test_one_input_size_a_column_that_of_most_models():
    profiles = [record("a", side=512, macs=8e9), record("a"), record("b"), record("b", batch=8)]
    columns = cost_columns([row("1", "a"), row("2", "b"), row("3", "c")], profiles)
    assert columns.headings[1] == "GMACs at 3×256×256"
    assert columns.of("1")[1] == columns.of("2")[1] == "2.000"
    assert columns.of("3") == ("5.00", "–", "–")


def test_options_must_match_and_only_plain_runs_count():
    profiles = [
        record("a", options={"encoder": "resnet18"}),
        record("b", precision="bf16"),
        record("c", compiled=True),
    ]
    columns = cost_columns([row("1", "a"), row("2", "b"), row("3", "c")], profiles)
    assert columns.headings == (PARAMETERS,)
    assert cost_columns([row("1", "a", {"encoder": "resnet18"})], profiles).of("1")[1] == "2.000"


def test_unsteady_times_are_marked_and_not_plotted():
    columns = cost_columns([row("1", "a")], [record("a", steady=False)])
    assert columns.of("1")[2] == "100*"
    assert columns.values[columns.headings[2]] == {}


def test_the_front():
    points = [Point("a", 1, 0.7), Point("b", 2, 0.9), Point("c", 3, 0.8), Point("d", 2, 0.95)]
    assert [point.name for point in pareto_front(points, "higher")] == ["a", "d"]
    assert [point.name for point in pareto_front(points, "lower")] == ["a"]


def test_pictures_are_well_formed_and_escaped():
    points = [Point("a<b", 1, 0.7), Point("c", 20, 0.9), Point("d", 30, 0.8)]
    picture = pareto_svg(points, "GMACs", "Dice ↑", "higher")
    root = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    circles = sorted(root.findall(f"{space}circle"), key=lambda circle: float(circle.get("cx")))
    assert [circle.get("fill") for circle in circles] == ["#0072b2", "#0072b2", "#999"]
    assert float(circles[1].get("cy")) < float(circles[0].get("cy"))
    assert len(root.find(f"{space}polyline").get("points").split()) == 2
    assert "a&lt;b" in picture
    assert pareto_svg(points[:1], "GMACs", "Dice", "higher") == ""


@pytest.mark.parametrize("costs", [(1.75, 1.96), (59.2, 59.8), (3.0, 3.3), (0.011, 0.012), (7, 60), (2, 3e6)])
def test_an_axis_has_two_values_at_least_within_it(costs):
    points = [Point("a", costs[0], 0.7), Point("b", costs[1], 0.9)]
    root = ElementTree.fromstring(pareto_svg(points, "GMACs", "Dice", "higher"))
    space = "{http://www.w3.org/2000/svg}"
    below = [text for text in root.findall(f"{space}text") if text.get("y") == "348"]
    places = [float(text.get("x")) for text in below]
    assert 2 <= len(below) <= 9
    assert places == sorted(set(places))
    assert 64 <= places[0] < places[-1] <= 616
    values = [float(text.text) for text in below]
    assert costs[0] / 1.8**2 < values[0] < values[-1] < costs[1] * (4 if costs[1] > 1e5 else 1.8)


def test_names_in_plots_are_without_the_marks_that_all_rows_have():
    names = ["A (x=[1]) [subset 2 of 9]", "B [not above constant] [subset 2 of 9]"]
    assert without_common_marks(names) == ["A (x=[1])", "B [not above constant]"]
    assert without_common_marks(names[:1]) == names[:1]
    assert without_common_marks([]) == []
    (table,) = load_board(Path(__file__).parents[2] / "leaderboards", "hc18").measured
    assert all("[subset 27 of 204]" in entry.name for entry in table.entries)
    assert table.plots
    assert not any("subset" in plot for plot in table.plots)


def test_a_picture_for_operations_and_for_each_machine():
    rows = [row("1", "a"), row("2", "b")]
    columns = cost_columns(rows, [record("a"), record("b", macs=5e9, p50_s=0.2)])
    pictures = pareto_plots({"1": "A", "2": "B"}, {"1": 0.8, "2": 0.9}, columns, "Dice ↑", "higher")
    assert len(pictures) == 2
    assert all(">A<" in picture and ">B<" in picture for picture in pictures)
    assert pareto_plots({"1": "A"}, {"1": 0.8, "2": 0.9}, columns, "Dice ↑", "higher") == []


@pytest.mark.parametrize("macs", [3e5, 3e12])
def test_any_magnitude(macs):
    picture = pareto_svg([Point("a", macs, 1.0), Point("b", macs, 1.0)], "x", "y", "lower")
    ElementTree.fromstring(picture)


def test_pages_show_costs_beside_results():
    def result(key, model, value):
        metric = {"value": value, "ci95": [None, None], "convention": "x", "counts": [3, 0, 0, 0]}
        return {
            **row(key, model),
            "data": "real",
            "split": "test",
            "manifest_sha256": "m" * 64,
            "title": model,
            "recipe": None,
            "counts": {"total": 3, "ok": 3, "failed": 0, "missing": 0},
            "metrics": {"dice": metric},
        }

    rows = [result("1", "first", 0.8), result("2", "second", 0.9)]
    plain = make_board(load_challenge("cvc_clinicdb"), rows)
    bare = with_costs(plain, [{**row, "parameters": None} for row in rows], [])
    assert bare.measured[0].cost_headings == ()
    assert UNKNOWN in markdown(bare)
    assert with_costs(plain, rows, []).measured[0].cost_headings == (PARAMETERS,)
    board = with_costs(plain, rows, [record("first"), record("second", macs=5e9)])
    page = markdown(board)
    assert "GMACs at 3×256×256" in page
    assert "5.000" in page
    assert len(html(board).split("<svg")) == 1 + 2
    assert "alert" not in html(board)
    assert r"GMACs at 3$\times$256$\times$256" in latex(board)
    assert "<svg" not in html(plain)


def test_what_the_runs_took_stands_by_machine_and_is_drawn():
    rows = [row("1", "a"), row("2", "b", parameters=None), row("3", "c", parameters=None)]
    times = {"1": RunTime("A", 0.25), "2": RunTime("B", 0.5)}
    columns = cost_columns(rows, [], times)
    assert columns.headings == (PARAMETERS, f"{TIME}, A", f"{TIME}, B")
    assert [columns.of(key) for key in "123"] == [("5.00", "250", "–"), ("–", "–", "500"), ("–",) * 3]
    accuracies = {"1": 0.8, "2": 0.9, "3": 0.7}
    names = {key: key for key in accuracies}
    assert pareto_plots(names, accuracies, columns, "Dice", "higher") == []
    one_machine = cost_columns(
        rows, [], {"1": RunTime("A", 0.25), "2": RunTime("A", 0.5), "3": RunTime("A", 0)}
    )
    (picture,) = pareto_plots(names, accuracies, one_machine, "Dice", "higher")
    assert f"Dice over {TIME}, A" in picture
    assert picture.count("<circle") == 2, "a time of nothing has no place on a logarithmic axis"


def test_nothing_is_known_of_nothing():
    assert cost_columns([row("1", "a", parameters=None)], []) == CostColumns()


def test_a_row_s_time_comes_from_its_record(tmp_path):
    environment = {"processor": "P", "cores": 2, "accelerator": None}
    time_s = {"read": 9.0, "preprocess": 0.5, "forward": 2.0, "postprocess": 0.5, "score": 9.0}
    whole = {"environment": environment, "time_s": time_s, "cases_timed": 12}
    records = {
        "a" * 16: whole,
        "b" * 16: {**whole, "cases_timed": 0},
        "c" * 16: {**whole, "time_s": {"score": 1.0}},
        "d" * 16: {**whole, "environment": {**environment, "accelerator": "H"}},
        "e" * 16: ["no record"],
    }
    for key, record_ in records.items():
        (tmp_path / key).mkdir()
        (tmp_path / key / "record.json").write_text(json.dumps(record_))
    evidence = BoardEvidence(tmp_path)
    times = [evidence.time(key) for key in (*records, "f" * 16, "../a")]
    assert times == [RunTime("P, 2 cores", 0.25), None, None, RunTime("H", 0.25), None, None, None]


@pytest.mark.parametrize("name", SHIPPED_BOARDS)
def test_every_shipped_board_has_costs_and_a_chart_or_says_that_it_has_none(name):
    for table in load_board(SHIPPED, name).measured:
        learnt = [entry for entry in table.entries if entry.row.get("parameters")]
        assert bool(table.cost_headings) == bool(learnt)
        assert (UNKNOWN in table.note) != bool(learnt)
        assert bool(table.plots) == bool(learnt)
        assert not learnt or any(heading.startswith(TIME) for heading in table.cost_headings)
