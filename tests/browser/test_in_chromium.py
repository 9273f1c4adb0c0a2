"""Pages as a reader meets them: in Chromium, from disk, in both themes, on a phone, by keyboard."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.overlay import DrawnBox, Illustration, worst_slices
from medbench.core.result_table import CaseRow
from medbench.core.score import Score
from medbench.leaderboards.board_page import html
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.compare import compare_runs
from medbench.leaderboards.results import build_board, write_index
from medbench.records.page import write_report
from medbench.records.reading import read_run
from medbench.running.comparison import comparison
from medbench.running.evaluate import evaluate

CHALLENGE = load_challenge("cvc_clinicdb")
HOSTILE = '<img src=x onerror="document.title=1"><b>A'
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(small_cvc, tmp_path_factory):
    """A board of two evaluations, the report of one, a comparison and an index."""
    base = tmp_path_factory.mktemp("pages")
    runs, folders = [], []
    for shift, name in ((2, HOSTILE), (8, "moved by eight")):
        folder = base / f"moved-{shift}"
        folder.mkdir()
        for number, case in enumerate(CHALLENGE.cases(small_cvc, "test")):
            if number or shift == 2:
                moved = np.roll(CHALLENGE.release.read_reference(case), shift + number, axis=1)
                cv2.imwrite(str(folder / f"{case.id}.png"), moved * 255)
        done = evaluate(
            "cvc_clinicdb",
            folder,
            data=small_cvc,
            name=name,
            runs=base / "runs",
            leaderboards=base / "boards",
        )
        runs.append(read_run(done.folder))
        folders.append(folder)
    differences = compare_runs(runs)
    comparison(base / "compare.html", runs, differences, ["What it says."], small_cvc, folders)
    build_board(base / "boards", "cvc_clinicdb")
    return {
        "board": base / "boards/cvc_clinicdb/index.html",
        "index": write_index(base / "boards")[0],
        "report": runs[1].folder / "report.html",
        "compare": base / "compare.html",
    }


KINDS = ("board", "index", "report", "compare")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_quiet_accessible_and_follows_the_theme(pages, open_page, serious_faults, kind, theme):
    own = open_page(pages[kind], theme)
    paper = own.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (theme == "light")
    assert serious_faults(own.page) == []
    assert own.errors == []
    assert own.other_requests == []
    assert own.page.title() != "1"


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_a_phone_and_reads_without_scripts(pages, open_page, kind):
    narrow = open_page(pages[kind], width=360)
    assert narrow.page.evaluate("document.documentElement.scrollWidth") <= 360
    plain = open_page(pages[kind], scripts=False)
    assert plain.page.locator("table").first.is_visible()
    assert (
        plain.page.locator("[data-filters]").count() == 0 or plain.page.locator("[data-filters]").is_hidden()
    )


def column(page, table, place):
    return page.eval_on_selector_all(
        f"#{table} tbody tr:not(.record)", "(rows, at) => rows.map(row => row.cells[at].dataset.v)", place
    )


def test_a_board_is_sorted_filtered_and_expanded(pages, open_page):
    own = open_page(pages["board"])
    page = own.page
    page.locator("#t1 thead button").nth(2).click()
    down = [float(value) for value in column(page, "t1", 2)]
    assert down == sorted(down, reverse=True)
    assert page.locator("#t1 th").nth(2).get_attribute("aria-sort") == "descending"
    page.locator("#t1 thead button").nth(2).click()
    assert [float(value) for value in column(page, "t1", 2)] == sorted(down)
    page.get_by_label("Search").fill("moved by eight")
    assert page.locator("#t1 tbody tr:not(.record):visible").count() == 1
    opener = page.locator("#t1 tbody th button:visible")
    opener.focus()
    page.keyboard.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true"
    record = page.locator("#t1 tr.record:visible")
    assert "record, SHA-256" in record.inner_text()
    assert "medbench leaderboard verify" in record.inner_text()
    page.wait_for_timeout(100)
    view = page.evaluate("location.hash")
    again = open_page(pages["board"], hash_=view)
    assert again.page.locator("#t1 tbody tr:not(.record):visible").count() == 1
    assert again.page.locator("#t1 tr.record:visible").count() == 1
    assert own.errors == again.errors == []


def test_data_kinds_are_filtered_and_columns_chosen(pages, open_page):
    page = open_page(pages["board"]).page
    page.get_by_label("Data", exact=True).select_option("published")
    assert page.locator("#t1 tbody tr:not(.record):visible").count() == 0
    page.get_by_label("Data", exact=True).select_option("")
    page.locator(".columns summary").first.click()
    page.locator('[data-table="t1"][data-column="2"]').uncheck()
    assert page.locator("#t1 th").nth(2).is_hidden()
    assert page.locator("#t1 tbody tr:not(.record)").first.locator("td, th").nth(2).is_hidden()


def test_what_is_shown_is_copied_in_three_forms(pages, open_page):
    page = open_page(pages["board"]).page
    copied = {}
    for form in ("Markdown", "LaTeX", "CSV"):
        page.get_by_role("button", name=f"Copy {form}").first.click()
        copied[form] = page.locator("textarea.copied").input_value()
    assert copied["Markdown"].splitlines()[1].startswith("|---|")
    assert "<img" not in copied["Markdown"]
    assert copied["LaTeX"].count("\\textbf{") >= 1
    assert "\\label{tab:cvc_clinicdb" in copied["LaTeX"].replace("-", "_")
    best = max(map(float, column(page, "t1", 2)))
    assert f"{best}" in copied["CSV"]


def test_a_case_is_marked_in_plot_and_table(pages, open_page):
    page = open_page(pages["board"]).page
    dot = page.locator("#t1").locator("xpath=ancestor::section").locator("circle.dot").first
    number = dot.get_attribute("data-c")
    dot.dispatch_event("click")
    assert page.locator(f'section:has(#t1) circle.hit[data-c="{number}"]').count() >= 1
    assert page.locator(f'section:has(#t1) tr.hit[data-c="{number}"]').is_visible()


def test_hostile_names_stay_text(pages, open_page):
    for kind in KINDS:
        own = open_page(pages[kind])
        assert own.page.locator('img[src="x"]').count() == 0
        assert own.errors == []
    page = open_page(pages["board"]).page
    assert HOSTILE in page.locator("#t1").inner_text()


def test_images_have_sliders_and_layers(pages, open_page):
    own = open_page(pages["report"])
    page = own.page
    assert page.locator("figure[data-viewer]").count() == 9
    assert page.locator('img:not([loading="lazy"])').count() == 0
    frame = page.locator(".frame").first
    before = frame.bounding_box()["width"]
    page.locator("figure[data-viewer] input[type=range]").first.fill("3")
    assert frame.bounding_box()["width"] == pytest.approx(3 * before, rel=0.01)
    errors = page.locator(".over .errors").first
    page.locator("[data-layers] input[type=range]").fill("1")
    assert errors.evaluate("node => getComputedStyle(node).fillOpacity") == "1"
    page.locator("[data-layers] input[type=checkbox]").nth(2).uncheck()
    assert errors.evaluate("node => getComputedStyle(node).display") == "none"
    page.locator("#cases thead button").nth(2).click()
    values = [float(value) for value in column(page, "cases", 2) if value]
    assert values == sorted(values, reverse=True)
    assert "missing" in page.locator("#cases").inner_text()
    assert own.errors == []


def test_a_thousand_rows_are_sorted_in_a_tenth_of_a_second(open_page, tmp_path):
    counts = {"total": 300, "ok": 300, "failed": 0, "missing": 0}

    def row(number):
        value = (number * 7919 % 1000) / 1000
        ends = [value - 0.01, value + 0.01]
        cell = {"value": value, "ci95": ends, "convention": "x", "counts": [300, 0, 0, 0]}
        return {
            "key": f"{number:016x}", "data": "real", "split": "test", "manifest_sha256": "m" * 64,
            "title": f"model {number}", "recipe": None, "counts": counts,
            "metrics": dict.fromkeys(("dice", "iou"), cell),
        }  # fmt: skip

    start = time.perf_counter()
    path = tmp_path / "board.html"
    path.write_text(html(make_board(CHALLENGE, list(map(row, range(1000))))))
    assert time.perf_counter() - start < 20
    own = open_page(path)
    assert own.page.locator("#t1 tbody tr:not(.record)").count() == 1000
    took = own.page.evaluate(
        """() => { const button = document.querySelectorAll('#t1 thead button')[2]; const times = [];
        for (let i = 0; i < 5; i++) { const start = performance.now(); button.click();
        times.push(performance.now() - start); } return times.sort((a, b) => a - b)[2]; }"""
    )
    assert took < 100
    assert own.errors == []


SHIPPED = Path(__file__).parents[2] / "leaderboards"


def test_the_shipped_boards_fill_the_significance_map_and_draw_accuracy_over_cost(open_page):
    own = open_page(SHIPPED / "hc18/index.html")
    filled = own.page.eval_on_selector_all(
        ".plot .wins", "cells => cells.map(cell => getComputedStyle(cell).fill)"
    )
    empty = own.page.eval_on_selector_all(
        ".plot .cell:not(.wins)", "cells => cells.map(cell => getComputedStyle(cell).fill)"
    )
    assert filled
    assert set(filled).isdisjoint(empty)
    assert own.page.locator("polyline.front").count() >= 1
    few = open_page(SHIPPED / "cvc_clinicdb/index.html")
    assert "With 5 groups no p is below" in few.page.locator("main").inner_text()
    assert own.errors == few.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_of_costs_fits_a_phone_in_both_themes(open_page, serious_faults, theme):
    own = open_page(SHIPPED / "profiles.html", theme, width=360)
    assert own.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert own.page.evaluate("document.querySelector('.scroll').scrollWidth") > 360
    assert serious_faults(own.page) == []
    assert own.errors == []


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/index.html")))
def test_names_stay_inside_the_plots_of_the_shipped_boards(open_page, name):
    page = open_page(SHIPPED / name / "index.html").page
    outside = page.evaluate(
        """() => [...document.querySelectorAll('figure svg[role=img]')].flatMap((plot) => {
        const frame = plot.getBoundingClientRect();
        return [...plot.querySelectorAll('text')].filter((text) => {
          const own = text.getBoundingClientRect();
          return own.left < frame.left - 1 || own.right > frame.right + 1;
        }).map((text) => text.textContent); })"""
    )
    assert outside == []


def shown(image, kind="case", **more):
    """The report's figure of an illustration, on a page of its own."""
    return Illustration(
        np.full((60, 80, 3), image, np.uint8), np.zeros((60, 80), int), np.zeros((60, 80), int), kind, **more
    )


def test_slices_start_at_the_worst_one_and_boxes_hide_with_their_side(open_page, tmp_path, monkeypatch):
    labels = np.zeros((5, 60, 80), np.uint8)
    labels[:, 20:40, 20:50] = 1
    wrong = labels.copy()
    wrong[3] = 0
    volume = worst_slices(np.full((5, 60, 80, 3), 90, np.uint8), labels, wrong)
    box = DrawnBox((10, 10, 40, 30), "<i>polyp 0.91")
    images = {"volume": volume, "boxes": [shown(60, reference_boxes=[box], prediction_boxes=[box])]}
    monkeypatch.setattr(
        type(CHALLENGE.exchange), "illustrations", lambda self, case, path: images[case.id], raising=True
    )
    scores = {metric.name: Score(0.5) for metric in CHALLENGE.metrics}
    rows = [CaseRow(name, name, "ok", scores, {}, predictions={f"{name}.png": ""}) for name in images]
    evidence = next((SHIPPED / "cvc_clinicdb/evidence").glob("*"))
    page_path = tmp_path / "report.html"
    write_report(
        page_path, CHALLENGE, [Case(name, {}) for name in images], rows, read_run(evidence).record, tmp_path
    )
    own = open_page(page_path)
    page = own.page
    figure = page.locator("figure.slices")
    assert figure.locator(".frame:visible").get_attribute("data-label").startswith("slice 4 of 5")
    slider = figure.locator("input[type=range]").nth(1)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert figure.locator(".frame:visible").get_attribute("data-label").startswith("slice 3 of 5")
    assert figure.locator("output").inner_text().startswith("slice 3 of 5")
    assert page.locator(".over text").all_text_contents() == [box.text, box.text]
    assert page.locator("rect.prediction").is_visible()
    page.get_by_label("prediction", exact=True).uncheck()
    assert page.locator("rect.prediction").is_hidden()
    assert page.locator("rect.reference").is_visible()
    assert own.errors == []


def test_an_overview_fits_the_window_and_a_case_without_image_keeps_its_place(
    open_page, serious_faults, tmp_path, monkeypatch
):
    tall, empty = np.full((1200, 500, 3), 90, np.uint8), np.zeros((1200, 500), np.uint8)
    box = DrawnBox((0, 0, 9, 9))
    images = {"slide": [Illustration(tall, empty, empty, "overview", reference_boxes=[box])]}
    monkeypatch.setattr(
        type(CHALLENGE.exchange), "illustrations", lambda self, case, path: images[case.id], raising=True
    )
    scores = {metric.name: Score(0.5) for metric in CHALLENGE.metrics}
    rows = [CaseRow("slide", "slide", "ok", scores, {}, predictions={"slide.png": ""})]
    lost = {name: Score(0.0, "missing") for name in scores}
    rows += [CaseRow("lost", "lost", "missing", lost, {}, "none <b>there")]
    record = read_run(next((SHIPPED / "cvc_clinicdb/evidence").glob("*"))).record
    path = tmp_path / "report.html"
    write_report(path, CHALLENGE, [Case(row.case, {}) for row in rows], rows, record, tmp_path)
    own = open_page(path, width=360)
    page = own.page
    assert page.locator(".cases figure b").all_text_contents() == ["lost", "slide"]
    assert page.locator(".blank").inner_text() == "No image: none <b>there"
    frame, stage = page.locator(".frame"), page.locator(".stage")
    assert frame.bounding_box()["height"] <= stage.bounding_box()["height"] + 1
    before = frame.bounding_box()["width"]
    page.get_by_label("Zoom").fill("2")
    assert frame.bounding_box()["width"] == pytest.approx(2 * before, rel=0.01)
    assert page.get_by_label("Opacity of errors").count() == 0, "boxes have no wrong pixels"
    assert page.get_by_label("reference", exact=True).count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert serious_faults(page) == []
    assert own.errors == []


def test_a_subgroup_takes_the_place_of_all_cases_and_copies_carry_sd(open_page, tmp_path):
    counts = {"total": 10, "ok": 10, "failed": 0, "missing": 0}
    spread = {"mean": 0.7, "sd": 0.05, "median": 0.7, "q25": 0.6, "q75": 0.8, "worst": 0.1}

    def row(number, value):
        cell = {"value": value, "ci95": [value - 0.1, value + 0.1], "convention": "x",
                "counts": [10, 0, 0, 0], "spread": {**spread, "worst_case": "c", "cases": 10}}  # fmt: skip
        own = {"iou": {**cell, "value": 1 - value, "ci95": [None, None]}}
        return {
            "key": f"{number:016x}", "data": "real", "split": "test", "manifest_sha256": "m" * 64,
            "title": f"model {number}", "recipe": None, "counts": counts, "metrics": {"iou": cell},
            "subgroups": {"centre": {"A": own}},
        }  # fmt: skip

    path = tmp_path / "board.html"
    path.write_text(html(make_board(CHALLENGE, [row(1, 0.9), row(2, 0.6)])))
    own = open_page(path)
    page = own.page
    first = page.locator("#t1 tbody tr:not(.record)").first.locator("td, th").nth(2)
    whole = first.inner_text()
    assert whole.split() == ["0.9000", "[0.8000", "–", "1.0000]"]
    page.get_by_label("Subgroup").select_option("centre: A")
    assert first.inner_text().strip() == "0.1000"
    page.locator("#t1 thead button").nth(2).click()
    assert page.locator("#t1 tbody tr:not(.record)").first.inner_text().count("model 2") == 1
    page.wait_for_timeout(100)
    again = open_page(path, hash_=page.evaluate("location.hash")).page
    assert again.locator("#t1 tbody tr:not(.record)").first.inner_text().count("0.4000") == 1
    page.get_by_label("Subgroup").select_option("")
    page.get_by_label("Spread in copies").first.select_option("sd")
    page.get_by_role("button", name="Copy LaTeX").first.click()
    copied = page.locator("textarea.copied").input_value()
    assert "\\textbf{0.9000 $\\pm$ 0.0500}" in copied
    assert "\\label{tab:" in copied
    assert own.errors == []


def test_pages_print_without_tools_and_with_all_cases(pages, open_page):
    page = open_page(pages["report"]).page
    page.emulate_media(media="print")
    assert page.locator(".tools").first.is_hidden()
    assert page.eval_on_selector(".tall", "node => getComputedStyle(node).maxHeight") == "none"


def test_the_index_leads_to_the_boards(pages, open_page):
    page = open_page(pages["index"]).page
    assert page.locator("#all tbody tr").count() >= 2
    page.locator("#all tbody th a").first.click()
    assert page.url.split("#")[0].endswith("cvc_clinicdb/index.html")
