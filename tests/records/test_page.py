"""What a report says in words: flags and notes once, and labels that no curve crosses."""

import dataclasses
import re
from pathlib import Path

import pytest

from medbench.challenges import load_challenge
from medbench.core.chart import Curve, CurveChart
from medbench.metrics.checks.suspicion import FLAGS
from medbench.records.charts import draw_chart
from medbench.records.page import write_report
from medbench.records.reading import read_run

CHALLENGE = load_challenge("cvc_clinicdb")
EVIDENCE = next((Path(__file__).parents[2] / "leaderboards/cvc_clinicdb/evidence").glob("*"))


def page(tmp_path, flags, notes):
    run = read_run(EVIDENCE)
    rows = list(run.rows.values())
    for place, row in enumerate(rows):
        own = ["inverted: mean Dice 0.00 would be 0.50"] if place < flags else []
        rows[place] = dataclasses.replace(row, evidence={**row.evidence, FLAGS: own})
    told = [f"{row.case}: {flag}" for row in rows for flag in row.evidence.get(FLAGS, ())]
    settings = {**run.record.settings, "notes": [*told, *notes]}
    record = run.record.model_copy(update={"settings": settings})
    write_report(tmp_path / "report.html", CHALLENGE, [], rows, record, tmp_path)
    return (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("flags", "folded"), [(0, False), (2, False), (12, True)])
def test_a_flag_stands_once_and_many_are_folded(flags, folded, tmp_path):
    text = page(tmp_path, flags, ["3 files of others"])
    assert text.count("would be 0.50</li>") == flags
    assert ("<h2>Flags</h2>" in text) == bool(flags)
    assert (f"<summary>{flags} predictions</summary>" in text) == folded
    assert text.count('<li class="bad">3 files of others</li>') == 1
    assert "<h2>Notes</h2>" not in page(tmp_path, flags, [])


def test_a_diagonal_s_name_lies_below_it_and_above_all_curves():
    curve = Curve("a", (0.0, 0.5, 1.0), (0.0, 0.8, 1.0))
    chart = CurveChart("ROC", "x", "y", (curve,), diagonal="calibrated")
    markup = draw_chart(chart).markup
    label = re.search(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="end">calibrated</text>', markup)
    right, base = map(float, label.groups())
    diagonal = re.search(r'<path d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', markup)
    x0, y0, x1, y1 = map(float, diagonal.groups())
    letters = 6.5 * len("calibrated")
    on_diagonal = y0 + (right - letters - x0) / (x1 - x0) * (y1 - y0)
    assert base - 10 > on_diagonal
    assert markup.index("<polyline") < label.start()


def shown_facts(tmp_path, facts):
    run = read_run(EVIDENCE)
    rows = [dataclasses.replace(row, facts=facts(place)) for place, row in enumerate(run.rows.values())]
    write_report(tmp_path / "report.html", CHALLENGE, [], rows, run.record, tmp_path)
    text = (tmp_path / "report.html").read_text()
    table = text.partition("<h2>Cases</h2>")[2].partition("</thead>")[0]
    return re.findall(r'<th scope="col" class="text">([^<]*)</th>', table)[2:], table


def test_what_all_cases_share_is_said_once_and_is_no_column(tmp_path):
    """Field case: of own data every case had a column with one and the same hash."""
    columns, text = shown_facts(tmp_path, lambda place: {"declaration": "ab12", "site": f"s{place % 2}"})
    assert columns == ["site"]
    assert text.count("The same in all cases: declaration ab12.") == text.count("ab12") == 1
    columns, text = shown_facts(tmp_path, lambda place: {"site": "a"} if place else {})
    assert columns == ["site"], "a case without it differs"
    assert "The same" not in text
