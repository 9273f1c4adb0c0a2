"""Words that the parser refuses end in one line that names the option, and a hint; exit code 2."""

import pytest


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("run", "--batch-size", "0"),
            "error: --batch-size 0: expected a number of 1 or more. [option.value]",
        ),
        (
            ("run", "--batch-size=x"),
            "error: --batch-size x: expected a whole number of 1 or more. [option.value]",
        ),
        (("run", "--workers", "0"), "error: --workers 0: expected a number of 1 or more. [option.value]"),
        (
            ("run", "--image-size", "8"),
            "error: --image-size 8: expected a number of 16 or more. [option.value]",
        ),
        (("run", "--seed", "-1"), "error: --seed -1: expected a number of 0 or more. [option.value]"),
        (
            ("train", "-m", "a", "-c", "b", "--nodes", "0"),
            "error: --nodes 0: expected a number of 1 or more.",
        ),
        (
            ("evaluate", "--workers", "0"),
            "error: --workers 0: expected a number of 1 or more. [option.value]",
        ),
        (("data", "init", "x", "--folds", "1"), "error: --folds 1: expected a number of 2 or more."),
        (("summarize", "--share", "2"), "error: --share 2: expected a number from 0.01 to 1. [option.value]"),
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


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "-m", "a", "-c", "b", "--set", "x"), "--set n_win=8"),
        (("run", "-m", "a", "-c", "b", "--tiling", "x"), "--tiling margin_px=256"),
        (("train", "-m", "a", "-c", "b", "--recipe-set", "x"), "--recipe-set epochs=3"),
    ],
)
def test_the_hint_at_a_setting_is_of_its_own_option(words, hint, command):
    assert command(*words).err.splitlines() == [
        "error: 'x' is not name=value. [option.malformed]", f"hint:  For example {hint}.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [
        (
            ("run", "--plugin", "x", "-m", "a", "-c", "b"),
            "No such option: --plugin. [option.unknown]",
            "It stands before the verb: medbench --plugin … run …",
        ),
        (
            ("data", "check", "x", "--plugin", "y"),
            "No such option: --plugin. [option.unknown]",
            "It stands before the verb: medbench --plugin … data check …",
        ),
        (
            ("metrics", "compare", "nosuch", "other"),
            "nosuch: there is no such file. [data.missing]",
            "Check the path.",
        ),
        (
            ("submit", "host", "-c", "psfhs", "--platform", "grand-challenge", "--packages", "foo"),
            "--packages foo: 'foo' is not one of 'index', 'vendored', 'base'. [option.value]",
            "See 'medbench submit host --help'.",
        ),
        (
            ("export", "-m", "dssau_net.test", "-o", "x.onnx", "--weights", "none", "--classes", "0"),
            "--classes names 0, and a network answers with two or more, the background included. "
            "[predict.classes]",
            "For one structure: --classes background,polyp, or 2.",
        ),
        (
            ("pretrain", "--recipe-set", "epoch=2"),
            "There is no recipe setting named 'epoch'. [recipe.setting]",
            "Did you mean epochs, warmup_epochs, second_epochs?",
        ),
    ],
)
def test_a_slip_is_told_by_what_it_is(words, first, second, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*words).err.splitlines() == [f"error: {first}", f"hint:  {second}"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-c", "kpis_slide", "--tiling", "patch_px=abc"), "inference.setting"),
        (("-c", "kpis_slide", "--tiling", "patch_px=0"), "inference.setting"),
        (("-c", "kpis_slide", "--tiling", "margin_px=-4"), "inference.setting"),
        (("-c", "kpis_slide", "--tiling", "tissue=2"), "inference.setting"),
        (("-c", "psfhs", "--set", "n_win=0"), "model.option"),
        (("-c", "psfhs", "--set", "n_win=abc"), "model.option"),
        (("-c", "psfhs", "--scheduler", "nosuch"), "cluster.unreachable"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else value,
)
def test_a_wrong_value_is_refused_before_the_sample_is_drawn(words, code, command, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    told = command("run", "-m", "dssau_net.test", *words, "--runs", tmp_path / "runs")
    first, second = told.err.strip().splitlines()
    assert told.code == 2
    assert f"[{code}]" in first
    assert second.startswith("hint:  ")
    assert not list(tmp_path.iterdir())


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
    told = command("report", "a", "-o", tmp_path)
    assert f"{tmp_path}: is a folder, not a page. [output.folder]" in told.err
