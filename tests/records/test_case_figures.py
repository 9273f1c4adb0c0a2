"""Cases of a report: every one in its place, with its image or the reason why it has none."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.overlay import DrawnBox, Illustration, ObjectMark, Stroke, worst_slices
from medbench.core.result_table import CaseRow
from medbench.core.score import Score
from medbench.leaderboards.compare import compare_runs
from medbench.records.figures import Figure, Frame, case_figures, overlay
from medbench.records.page import FULL, LISTED, WORST, Gallery, _galleries, _within, _worst, write_report
from medbench.records.reading import read_run
from medbench.running.comparison import comparison
from medbench.running.evaluate import evaluate

CHALLENGE = load_challenge("cvc_clinicdb")


@pytest.fixture(scope="module")
def scored(small_cvc, tmp_path_factory):
    """An evaluation of nine predictions: one missing, one damaged, one of half the size, the others moved."""
    base = tmp_path_factory.mktemp("figures")
    folder = base / "theirs"
    folder.mkdir()
    names = {}
    for number, case in enumerate(CHALLENGE.cases(small_cvc, "test")):
        mask = np.roll(CHALLENGE.release.read_reference(case), number, axis=1) * 255
        kind = {1: "missing", 3: "damaged", 5: "halved"}.get(number, "moved")
        names.setdefault(kind, case.id)
        if kind == "damaged":
            (folder / f"{case.id}.png").write_bytes(b"no image")
        elif kind != "missing":
            mask = np.ascontiguousarray(mask[::2, ::2]) if kind == "halved" else mask
            cv2.imwrite(str(folder / f"{case.id}.png"), mask)
    places = {"runs": base / "runs", "leaderboards": base / "leaderboards"}
    done = evaluate("cvc_clinicdb", folder, data=small_cvc, **places)
    return done.folder, folder, names


def shown(folder):
    """Case -> its figure's markup, in the order of the first gallery."""
    page = (folder / "report.html").read_text()
    gallery = page.split("<h2>Worst cases", 1)[1].split("<h2>", 1)[0]
    figures = re.findall(r"<figure.*?</figure>", gallery, re.DOTALL)
    return {re.search(r"<b>([^<]+)</b>", figure)[1]: figure for figure in figures}


def test_cases_that_cannot_be_drawn_stand_in_their_place_with_scores_and_reason(scored):
    folder, _, names = scored
    figures = shown(folder)
    values = {case: row.scores["dice"].value for case, row in read_run(folder).rows.items()}
    assert [values[case] for case in figures] == sorted(values.values()), "the worst first, none left out"
    assert set(list(figures)[:3]) == {names["missing"], names["damaged"], names["halved"]}
    for kind, reason in (("missing", "No image: no prediction"), ("damaged", "No image: ")):
        own = figures[names[kind]]
        assert "<img" not in own
        assert reason in own
        assert f"Dice 0.0000 ({'missing' if kind == 'missing' else 'failed'})" in own
    assert str(scored[1]) not in (folder / "report.html").read_text()


def test_a_prediction_of_another_size_is_said_and_not_drawn(scored):
    folder, _, names = scored
    own = shown(folder)[names["halved"]]
    assert "<img" in own
    assert "The prediction is 36×48 where the image is 72×96: not drawn." in own
    assert 'class="reference"' in own
    assert 'class="prediction"' not in own


def test_a_comparison_shows_who_could_not_be_drawn(scored, small_cvc, tmp_path):
    folder, theirs, names = scored
    whole = tmp_path / "whole"
    whole.mkdir()
    for case in CHALLENGE.cases(small_cvc, "test"):
        cv2.imwrite(str(whole / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    other = read_run(evaluate("cvc_clinicdb", whole, data=small_cvc, runs=tmp_path / "runs").folder)
    runs = [read_run(folder), other]
    page = comparison(tmp_path / "page.html", runs, compare_runs(runs), [], small_cvc, [theirs, whole])
    moved = page.read_text().split("Cases that moved most")[1].split("<h3>")[0]
    for kind in ("missing", "damaged", "halved"):
        assert f"<h4>{names[kind]}: 0 → 1</h4>" in moved
    assert moved.count("No image: ") == 2
    assert moved.count("not drawn.</figcaption>") == 1


def test_a_report_keeps_the_lines_of_bibtex_and_names_no_errors_where_there_are_none(scored, tmp_path):
    """Boxes and landmarks have no wrong pixels: the legend and the layers are of what is drawn."""
    page = (scored[0] / "report.html").read_text()
    bibtex = page.split('data-copy="BibTeX">')[1].split("</pre>")[0]
    assert bibtex.count("\n") >= 5
    assert "\\n" not in bibtex
    assert "too much or another label" in page
    run, (box,) = read_run(scored[0]), [DrawnBox((1, 1, 5, 5), "0.9")]
    rows = [replace(row, predictions={"p.png": ""}) for row in list(run.rows.values())[:1]]
    image = Illustration(
        np.zeros((8, 8, 3), np.uint8), *[np.zeros((8, 8), np.uint8)] * 2, reference_boxes=[box]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(CHALLENGE.exchange), "illustrations", lambda self, case, path: [image])
        cases = [Case(rows[0].case, {})]
        write_report(tmp_path / "boxes.html", CHALLENGE, cases, rows, run.record, tmp_path)
    assert "too much or another label" not in (tmp_path / "boxes.html").read_text()
    bare = tmp_path / "bare.html"
    write_report(bare, CHALLENGE, [], rows, run.record, tmp_path)
    assert "No images of cases: the data were not at hand" in bare.read_text()
    assert "Worst cases" not in bare.read_text()


def rows_of(scores, predictions=True):
    name = CHALLENGE.metrics[0].name
    files = {"p.png": ""} if predictions else {}
    return [
        CaseRow(f"c{place}", f"c{place}", "ok", {name: score}, {}, predictions=files)
        for place, score in enumerate(scores)
    ]


def test_undefined_cases_are_not_the_worst_and_lost_ones_are(tmp_path):
    scores = [Score(0.5), Score.undefined("nothing"), Score(None, "failed", "broken"), Score(0.1)]
    rows = rows_of(scores, predictions=False)
    cases = {row.case: Case(row.case, {}) for row in rows}
    worst, without = _galleries(CHALLENGE, cases, rows, CHALLENGE.metrics[:1], tmp_path)
    assert [figure.case for figure in worst.figures] == ["c2", "c3", "c0"]
    assert [figure.case for figure in without.figures] == ["c1"]


def test_many_lost_cases_leave_room_for_images_of_others():
    lost, drawn = rows_of([Score(0.0)] * 5, predictions=False), rows_of([Score(0.5)] * 20)
    assert len(_worst([*lost, *drawn])) == 5 + WORST
    assert len(_worst([*lost * 9, *drawn])) == LISTED
    assert len(_worst(drawn[:3])) == 3


def test_what_belongs_to_another_size_is_not_drawn(tmp_path, monkeypatch):
    box, labels = DrawnBox((1, 1, 5, 5)), np.ones((4, 4), np.uint8)
    strokes = [Stroke(side, [(0, 0), (3, 3)]) for side in ("reference", "prediction")]
    image = Illustration(
        np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8), labels, caption="words",
        marks=[ObjectMark("missed", 1, 1, 1)], strokes=strokes, reference_boxes=[box], prediction_boxes=[box],
    )  # fmt: skip
    monkeypatch.setattr(type(CHALLENGE.exchange), "illustrations", lambda self, case, path: [image])
    (row,) = rows_of([Score(0.5)])
    (figure,) = case_figures(CHALLENGE, {"c0": Case("c0", {})}, [row], tmp_path, {"c0": "Dice 0.5"})
    assert figure.caption == "words The prediction is 4×4 where the image is 8×8: not drawn."
    assert figure.scores == "Dice 0.5"
    (frame,) = figure.frames
    assert frame.overlay.count("reference") == 3
    assert "prediction" not in frame.overlay
    assert not figure.has_marks


def test_slices_of_a_prediction_of_another_size_show_the_reference_alone():
    reference = np.zeros((5, 6, 6), np.uint8)
    reference[3, 1:4, 1:4] = 1
    shown = worst_slices(np.zeros((5, 6, 6, 3), np.uint8), reference, np.ones((5, 3, 3), np.uint8))
    assert [image.worst for image in shown] == [False, False, False, True, False]
    assert not any(image.prediction.any() for image in shown)
    assert shown[0].caption == "slice 1 of 5, the prediction is 5×3×3 where the reference is 5×6×6: not drawn"


def test_a_page_holds_as_many_images_as_fit_and_lists_the_other_cases(monkeypatch):
    def figure(case, kind="case", size=100):
        return Figure(case, kind, "words", f"Dice of {case}", (Frame("x" * size, "", "", True, (1, 1)),))

    bare = Figure("lost", "case", "Dice 0", "", (), without_image="no prediction")
    worst = Gallery("Worst", [figure("a"), bare, figure("b", "overview"), figure("b", "detail"), figure("c")])
    monkeypatch.setattr("medbench.records.page.MOST_IMAGE_BYTES", 250)
    first, second = _within([worst, Gallery("Best", [figure("d", "overview"), figure("d", "detail")])])
    assert [(own.case, bool(own.frames)) for own in first.figures] == [
        ("a", True), ("lost", False), ("b", True), ("b", False), ("c", False)
    ]  # fmt: skip
    assert [(own.case, own.without_image, own.caption) for own in second.figures] == [
        ("d", FULL, "Dice of d")
    ]


def test_outlines_of_large_images_have_few_corners_and_keep_to_their_masks():
    rows, columns = np.mgrid[:400, :400]
    disc = (np.hypot(rows - 200, columns - 200) < 150).astype(np.uint8)
    image, nothing = np.zeros((400, 400, 3), np.uint8), np.zeros_like(disc)
    outlines = {kind: overlay(Illustration(image, disc, nothing, kind)) for kind in ("case", "overview")}
    assert len(outlines["overview"]) < len(outlines["case"]) / 3
    path = re.search(r'class="reference" d="M([^z]+)z', outlines["overview"])[1]
    corners = np.array([point.split() for point in path.split("L")], float)
    assert np.abs(np.hypot(*(corners - 200.5).T) - 150).max() < 1.5
