"""Words that the parser refuses end in one line that names the option, and a hint; exit code 2."""

import pytest


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "--batch-size", "0"), "error: --batch-size 0: a number of 1 or more is due. [option.value]"),
        (
            ("run", "--batch-size=x"),
            "error: --batch-size x: a whole number of 1 or more is due. [option.value]",
        ),
        (("run", "--workers", "0"), "error: --workers 0: a number of 1 or more is due. [option.value]"),
        (
            ("run", "--image-size", "8"),
            "error: --image-size 8: a number of 16 or more is due. [option.value]",
        ),
        (("run", "--seed", "-1"), "error: --seed -1: a number of 0 or more is due. [option.value]"),
        (("train", "-m", "a", "-c", "b", "--nodes", "0"), "error: --nodes 0: a number of 1 or more is due."),
        (("evaluate", "--workers", "0"), "error: --workers 0: a number of 1 or more is due. [option.value]"),
        (("data", "init", "x", "--folds", "1"), "error: --folds 1: a number of 2 or more is due."),
        (("summarize", "--share", "2"), "error: --share 2: a number from 0.01 to 1 is due. [option.value]"),
        (("train",), "error: Missing option '--model' / '-m'. [option.usage]"),
        (("run", "--btach-size", "3"), "error: No such option: --btach-size. [option.unknown]"),
        (("run", "word"), "error: Got unexpected extra argument"),
        (("run", "-m"), "error: Option '-m' requires an argument. [option.usage]"),
        (("nonsens",), "error: No such command 'nonsens'. [option.usage]"),
    ],
)
def test_a_word_that_the_parser_refuses_is_one_line_and_a_hint(words, line, command):
    told = command(*words)
    first, second = told.err.strip().splitlines()
    assert told.code == 2
    assert first.startswith(line)
    assert second.startswith("hint:  ")
    assert "Usage" not in told.err
    assert not told.out


def test_a_verb_without_words_still_prints_its_help(command):
    told = command("data")
    assert told.code == 2
    assert "Usage:" in told.err
    assert "init" in told.err


def test_a_page_makes_no_folders(command, tmp_path):
    told = command("compare", "a", "b", "--html", tmp_path / "nodir/page.html")
    assert told.code == 2
    assert f"there is no folder {tmp_path / 'nodir'}. [output.folder]" in told.err
    assert not (tmp_path / "nodir").exists()
