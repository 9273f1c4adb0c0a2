"""Pages as a reader meets them: in Chromium, from disk, in both themes, on a phone, by keyboard."""

import time

import cv2
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.leaderboards.board_page import html
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.compare import compare_runs
from medbench.leaderboards.index_page import write_index
from medbench.leaderboards.results import build_board
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
        "index": write_index(base / "boards"),
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


def test_the_index_leads_to_the_boards(pages, open_page):
    page = open_page(pages["index"]).page
    assert page.locator("#all tbody tr").count() >= 2
    page.locator("#all tbody th a").first.click()
    assert page.url.split("#")[0].endswith("cvc_clinicdb/index.html")
