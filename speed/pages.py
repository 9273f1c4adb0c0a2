"""Seconds and bytes of pages: a board of 1,000 rows of 300 cases each, and a report of 500 cases.

``python speed/pages.py --write`` also writes ``speed/pages.md``. Building is timed by the CPU clock of the
process, sorting by the browser's clock where a Chromium and Playwright are installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
PAGE = Path(__file__).with_suffix(".md")
SHIPPED = Path(__file__).parents[1] / "leaderboards"
CHALLENGE, MODEL = "hc18", "dssau_net"
ROWS, CASES, REPORTED, SIDE = 1000, 300, 500, 512
GOALS = {"board": 20.0, "sort": 0.1, "report": 15e6}


def make_evidence(leaderboards: Path, rows: int) -> None:
    """A board of networks and one constant answer, each with its record and its cases, made up by a seed."""
    import numpy as np

    from medbench.challenges import load_challenge
    from medbench.core.files import write_text
    from medbench.core.result_table import CaseRow
    from medbench.core.score import Score
    from medbench.core.seals import Line, seal_of, sealed_line, write_seal, write_table
    from medbench.leaderboards.results import evidence_folder, read_results
    from medbench.leaderboards.rows import row_of
    from medbench.records.measures import metric_records
    from medbench.records.reading import JOURNAL, RECORD, read_run

    challenge = load_challenge(CHALLENGE)
    shipped = {row["model"]: row["key"] for row in read_results(SHIPPED, CHALLENGE)}
    drawn = np.random.default_rng(0)
    lines = []
    for number in range(rows):
        model = MODEL if number else "baseline/constant"
        record = read_run(evidence_folder(SHIPPED, CHALLENGE, shipped[model])).record
        quality = drawn.uniform(0.6, 0.99)
        scores = np.clip(quality + drawn.normal(0, 0.03, CASES), 0, 1)
        cases = [
            CaseRow(
                f"case{index:03d}",
                f"subject {index // 2}",
                "ok",
                {
                    metric.name: Score(float(value if metric.better == "higher" else 60 * (1 - value)))
                    for metric in challenge.metrics
                },
                {},
            )
            for index, value in enumerate(scores)
        ]
        counts = record.counts.model_copy(update={"total": CASES, "ok": CASES})
        facts = {"cases": CASES, "groups": CASES // 2}
        record = record.model_copy(
            update={
                "key": f"{number:064x}"[::-1],
                "model": record.model.model_copy(update={"options": {"width": number}}),
                "counts": counts,
                "challenge": record.challenge.model_copy(update=facts),
                "metrics": metric_records(challenge, cases, record.seed),
            }
        )
        folder = evidence_folder(leaderboards, CHALLENGE, record.key)
        folder.mkdir(parents=True)
        write_table(folder / JOURNAL, [sealed_line(case.as_json()) for case in cases])
        seal_of(folder / JOURNAL).unlink(missing_ok=True)
        write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
        write_seal(seal_of(folder / RECORD), (folder / RECORD, folder / JOURNAL))
        row = row_of(record, folder)
        lines.append(Line(number, sealed_line(row), row, "sealed"))
    write_table(leaderboards / CHALLENGE / "results.jsonl", [line.text for line in lines])


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def sort_seconds(page: Path) -> float | None:
    """Least seconds of nine sorts of a page's first table by its first metric; ``None`` without a browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if browser is None:
        return None
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page()
        tab.goto(f"file://{page}")
        seconds = tab.evaluate(
            """() => { const button = document.querySelectorAll('#t1 thead button')[2]; const times = [];
            for (let i = 0; i < 9; i++) { const start = performance.now(); button.click();
            times.push(performance.now() - start); } return Math.min(...times) / 1000; }"""
        )
        chromium.close()
    return float(seconds)


def measure_board(rows: int) -> tuple[float, float | None, int]:
    """CPU seconds to build the pages of a board, seconds to sort it, bytes of its page."""
    from medbench.leaderboards.results import build_board

    with tempfile.TemporaryDirectory() as folder:
        leaderboards = Path(folder)
        make_evidence(leaderboards, rows)
        seconds = cpu_seconds(lambda: build_board(leaderboards, CHALLENGE))
        page = leaderboards / CHALLENGE / "index.html"
        return seconds, sort_seconds(page), page.stat().st_size


def measure_report(cases: int) -> tuple[float, int]:
    """CPU seconds of a report of colour images of 512 × 512 with noise, and its bytes."""
    import cv2
    import numpy as np

    from medbench.challenges import load_challenge
    from medbench.core.case import Case
    from medbench.core.result_table import CaseRow
    from medbench.core.score import Score
    from medbench.leaderboards.results import evidence_folder, read_results
    from medbench.records.page import write_report
    from medbench.records.reading import read_run

    challenge = load_challenge("cvc_clinicdb")
    key = next(
        row["key"] for row in read_results(SHIPPED, challenge.name) if row["model"] != "baseline/constant"
    )
    record = read_run(evidence_folder(SHIPPED, challenge.name, key)).record
    drawn = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, known = [], []
        for index in range(cases):
            case = f"{index}"
            for kind in ("image", "mask", "prediction"):
                (folder / kind).mkdir(exist_ok=True)
            noise = drawn.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            place = drawn.integers(SIDE // 4, 3 * SIDE // 4, 2).tolist()
            cv2.ellipse(mask, place, (90, 60), 20, 0, 360, 255, -1)
            cv2.imwrite(str(folder / "image" / f"{case}.png"), noise)
            cv2.imwrite(str(folder / "mask" / f"{case}.png"), mask)
            cv2.imwrite(str(folder / "prediction" / f"{case}.png"), np.roll(mask, 20, axis=1))
            scores = {metric.name: Score(float(drawn.uniform(0.5, 1))) for metric in challenge.metrics}
            rows.append(CaseRow(case, case, "ok", scores, {}, predictions={f"{case}.png": ""}))
            known.append(
                Case(
                    id=case,
                    inputs={"image": folder / "image" / f"{case}.png"},
                    reference={"labels": folder / "mask" / f"{case}.png"},
                )
            )
        page = folder / "report.html"
        seconds = cpu_seconds(
            lambda: write_report(page, challenge, known, rows, record, folder / "prediction")
        )
        assert page.read_text(encoding="utf-8").count("<figure") > 12
        return seconds, page.stat().st_size


def page(board: tuple[float, float | None, int], report: tuple[float, int], rows: int) -> str:
    """The measured page."""
    from medbench.core.machine import processor_name

    def met(value: float | None, goal: float) -> str:
        return "not measured" if value is None else "met" if value < goal else "missed"

    build, sort, size = board
    seconds, length = report
    sorted_in = "–" if sort is None else f"{1000 * sort:.0f} ms"
    return "\n".join(
        [
            "# Pages",
            "",
            f"By `speed/pages.py` on {processor_name()}, one thread. Building is CPU time, sorting the "
            "least of nine clicks on a heading in Chromium; other work on the machine lengthens both.",
            "",
            "| what | measured | goal | |",
            "|---|---:|---:|---|",
            f"| board of {rows:,} rows of {CASES} cases with their evidence: all pages built and checked | "
            f"{build:.1f} s | {GOALS['board']:g} s | {met(build, GOALS['board'])} |",
            f"| the same, sorted by a metric | {sorted_in} | {1000 * GOALS['sort']:g} ms | "
            f"{met(sort, GOALS['sort'])} |",
            f"| the same, size of `index.html` | {size / 1e6:.1f} MB | | |",
            f"| report of {REPORTED} cases, images of noise of {SIDE} × {SIDE} in colour | "
            f"{length / 1e6:.1f} MB | {GOALS['report'] / 1e6:g} MB | {met(length, GOALS['report'])} |",
            f"| the same, built | {seconds:.1f} s | | |",
            "",
            "Building reads every row's record and cases, checks their hashes and that they say what the row "
            "says, compares each run with the constant answer case by case, and draws the first 20 entries.",
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="also write speed/pages.md")
    parser.add_argument("--rows", type=int, default=ROWS)
    arguments = parser.parse_args()
    text = page(measure_board(arguments.rows), measure_report(REPORTED), arguments.rows)
    print(text)
    if arguments.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
