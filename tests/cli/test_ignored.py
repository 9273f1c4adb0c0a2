"""Options that cannot have an effect are refused, by whichever command."""

import os
import re

import pytest

from medbench.cli.main import main
from medbench.cli.parsing import as_a_shell_does, with_home

HERE = "{folder}"
NETWORK = ("-m", "dssau_net.test")
IMAGES = ("predict", *NETWORK, "--images", HERE, "-o", HERE, "--weights", "none", "--classes", "2")
EXPORT = ("export", *NETWORK, "-o", "x.onnx", "--weights", "none")
COST = ("profile", *NETWORK, "--measure", "cost")
SWEEP = ("profile", *NETWORK, "--sweep", "size=64:96:32")
SUMMARY = ("summarize", "x.mp4", "-m", "baseline/uniform", "-o", "s.mp4")
IGNORED = [
    ("evaluate", "-c", "psfhs", "-p", HERE, "--workers", "3", "--scheduler", "tcp://127.0.0.1:1"),
    ("evaluate", "-r", HERE, "-p", HERE, "--scheduler", "tcp://127.0.0.1:1"),
    ("evaluate", "-c", "psfhs", "--predictions-json", "x.json", "--rename", "a=b"),
    (*IMAGES, "--modalities", "t1"),
    (*IMAGES, "--prompts", "x.toml"),
    (*IMAGES, "--cases", "a*"),
    ("predict", *NETWORK, "-c", "psfhs", "-o", HERE, "--classes", "2"),
    (*EXPORT, "--classes", "2", "--data", HERE),
    (*EXPORT, "--classes", "2", "--split", "test"),
    (*EXPORT, "--classes", "2", "--recipe", "quick"),
    (*EXPORT, "-c", "psfhs", "--classes", "7"),
    ("run", "-m", "baseline/uniform", "-c", "tvsum", "--recipe", "default"),
    ("train", *NETWORK, "-c", "psfhs", "--dry-run", "--scheduler", "tcp://127.0.0.1:1"),
    ("train", "-m", "fulltransnet", "-c", "tvsum", "--workers", "2"),
    ("train", "-m", "baseline/constant", "-c", "psfhs", "--workers", "2"),
    ("train", "-m", "baseline/constant", "-c", "psfhs", "--fast", "--dry-run"),
    ("data", "prepare", "tvsum", "--videos", HERE, "-o", "x.h5", "--random-weights", "--weights", "w.pth"),
    (*SUMMARY, "--feature-weights", "w.pth", "--random-features"),
    ("submit", "check", HERE, "--archive", "x.tar.gz"),
    ("submit", "check", HERE, "--registry", "docker.io/x"),
    ("submit", "host", "-c", "psfhs", "--platform", "grand-challenge", "--registry", "docker.io/x"),
    ("leaderboard", "show", "psfhs", "--format", "latex", "--json"),
    ("study", "study.toml", "--cost", "--json"),
    ("study", "study.toml", "--cost", "--quick"),
    ("models", "--json", "show", "smp/unet"),
    ("challenges", "--match", "x*", "list"),
    ("metrics", "--json", "show", "dice"),
    ("profile", "--self-test", *NETWORK),
    (*COST, "--depth", "3"),
    (*COST, "--seconds", "3"),
    (*COST, "--format", "latex", "--json"),
    (*COST, "--no-keep", "--leaderboards", HERE),
    (*SWEEP, "--by-module"),
    (*SWEEP, "--max-batch"),
    (*SWEEP, "--energy"),
    (*SWEEP, "--measure", "latency"),
    (*SWEEP, "--seconds", "2"),
    ("compare", "abcd", "efgh", "--data", HERE),
]
OTHERS = [
    (("run", "-m", "baseline/uniform", "-c", "tvsum", "--image-size", "64"), "inference.setting"),
    (("run", "-m", "baseline/uniform", "-c", "tvsum", "--batch-size", "2"), "inference.setting"),
    (("run", "-m", "baseline/uniform", "-c", "tvsum", "--weights", HERE), "weights.not_taken"),
    (("train", "-m", "baseline/constant", "-c", "psfhs", "--accumulate", "4"), "training.devices"),
    (("run", "-m", "baseline/constant", "-c", "psfhs", "--mirror"), "inference.setting"),
    (("run", "-m", "baseline/constant", "-c", "brats2020", "--overlap", "0.2"), "inference.setting"),
    (("evaluate", "-r", HERE, "-p", HERE, "--labels", "1.5"), "option.malformed"),
    (("evaluate", "-r", HERE, "-p", HERE, "--labels", "nan"), "option.malformed"),
]


def told(words, folder, monkeypatch, capsys):
    """Standard error of a command that is refused."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["medbench", *(word.format(folder=folder) for word in words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("words", IGNORED, ids=lambda words: " ".join(words[:1] + words[-3:]))
def test_an_option_without_effect_is_refused(words, tmp_path, monkeypatch, capsys):
    message = told(words, tmp_path, monkeypatch, capsys)
    assert "has no effect" in message
    assert "[option.ignored]" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "code"), OTHERS, ids=lambda value: str(value[-2:]))
def test_an_option_that_cannot_apply_is_refused(words, code, tmp_path, monkeypatch, capsys):
    assert f"[{code}]" in told(words, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("word", "spelt"),
    [
        ("~", "{home}"),
        ("~/x", "{home}/x"),
        ("--runs=~/x", "{home}/x"),
        ("-o~/x", "{home}/x"),
        ("encoder_weights=~/x", "{home}/x"),
        ("--set=encoder_weights=~/x", "{home}/x"),
        ("--runs=~root/x", os.path.expanduser("~root/x")),
        ("$HOME/x", "{home}/x"),
        ("--runs=${HOME}/x", "{home}/x"),
        ("-o$HOME", "{home}"),
        ("--set=encoder_weights=$HOME/x", "{home}/x"),
    ],
)
def test_a_tilde_is_the_home_folder_wherever_a_path_begins(word, spelt, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = re.split(r"[~$]", word)[0]
    assert as_a_shell_does(with_home(word)) == before + spelt.format(home=tmp_path)


@pytest.mark.parametrize(
    "word", ["--cases=a~/b", "a~", "--rename=~x=y", "x~/y", "~nobody-has-this-name/x", "a$HOME/x"]
)
def test_a_tilde_elsewhere_stays(word):
    assert as_a_shell_does(with_home(word)) == word


@pytest.mark.parametrize("word", ["-o$NOWHERE/x", "--runs=${NOWHERE}/x", "$NOWHERE/x"])
def test_a_path_that_begins_with_a_variable_is_refused(word, tmp_path, monkeypatch, capsys):
    words = (
        "predict",
        *NETWORK,
        "-c",
        "psfhs",
        "--weights",
        "none",
        word.replace("{", "{{").replace("}", "}}"),
    )
    assert "[path.variable]" in told(words, tmp_path, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--registry", "--stamp"])
def test_options_of_images_are_refused_where_none_is_handed_in(option, tmp_path, monkeypatch, capsys):
    from medbench.submissions.template import submission_text

    text = submission_text("hc18", "dssau_net.test", "hc18", "tiny", weights="none")
    (tmp_path / "tiny.toml").write_text(text)
    words = ("submit", "build", "tiny.toml", option, "docker.io/x")
    assert f"{option} has no effect on hc18" in told(words, tmp_path, monkeypatch, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
