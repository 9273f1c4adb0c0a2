"""What is shared names no path of a machine and holds nothing active."""

import os
from pathlib import Path

import pytest

from medbench.core.files import atomic_path
from medbench.core.places import Places, command_line
from medbench.core.text import csv_text, markdown_text, printable


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("liver", "liver"),
        ("Über × 3 °", "Über × 3 °"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u2028b\u200b", "a\\u2028b\\u200b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_characters_that_are_not_seen_are_written_out(words, seen):
    assert printable(words) == seen
    assert printable(words).isprintable()


def test_long_names_are_cut():
    assert len(printable("x" * 1000)) == 200
    assert printable("x" * 1000, None) == "x" * 1000


def test_markdown_has_no_html_no_link_and_no_other_column():
    text = markdown_text("<img src=x onerror=alert(1)> | [a](javascript:b) `c`\n# d")
    assert "<" not in text
    assert ">" not in text
    assert "](" not in text
    assert "\n" not in text
    assert "\\|" in text


@pytest.mark.parametrize("words", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(words):
    assert not csv_text(words).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert csv_text("U-Net") == "U-Net"


def test_places_become_words(tmp_path):
    data, predictions = tmp_path / "release", tmp_path / "release" / "answers of x"
    places = Places.of({"data": data, "predictions": predictions, "weights": None})
    assert places.hide(f"{data}/train/a.png: is damaged") == "{data}/train/a.png: is damaged"
    assert places.hide(f"no prediction a.png in {predictions}") == "no prediction a.png in {predictions}"
    assert places.hide(f"{data}2/a.png") == "…/a.png" or "{temporary}" in places.hide(f"{data}2/a.png")
    assert places.hide(f"{Path.home()}/secret/x") == "{home}/secret/x"
    assert places.hide("cannot open '/srv/alice/data/x.nii.gz'") == "cannot open '…/x.nii.gz'"
    assert places.hide("C:\\Users\\alice\\x.nii is gone") == "…/x.nii is gone"
    assert places.hide("https://example.org/a/b and 3 mm/px, and/or") == (
        "https://example.org/a/b and 3 mm/px, and/or"
    )
    assert places.hide_all({"a": [f"{data}/b"], "c": 1}) == {"a": ["{data}/b"], "c": 1}


def test_placeholders_stay_bare_in_a_command():
    words = ["medbench", "run", "--data", "{data}", "--plugin", "{plugins}/my.py", "--name", "a b; rm -r ~"]
    assert command_line(words) == (
        "medbench run --data {data} --plugin {plugins}/my.py --name 'a b; rm -r ~'"
    )
    assert command_line(["{data}; rm"]) == "'{data}; rm'"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_the_mask_which_nobody_else_sees_changed(tmp_path, monkeypatch, mask):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", lambda mask: pytest.fail("the mask was changed"))
            with atomic_path(tmp_path / "a.txt") as temporary:
                temporary.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~mask
