"""A tilde at the beginning of a path is the home folder in Python calls and variables, or refused."""

import pytest

import medbench
from medbench.core import folders
from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home
from medbench.running.folders import evaluate_folders
from medbench.running.report import report

PLACES = {
    "MEDBENCH_RUNS": folders.runs_folder,
    "MEDBENCH_LEADERBOARDS": folders.leaderboards_folder,
    "MEDBENCH_CACHE": folders.cache_folder,
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "me").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "me"
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("variable", PLACES)
def test_variables(home, monkeypatch, variable):
    monkeypatch.setenv(variable, "~/x")
    assert PLACES[variable]() == home / "x"
    monkeypatch.setenv(variable, "~nobody-has-this-name/x")
    with pytest.raises(MedbenchError) as caught:
        PLACES[variable]()
    assert caught.value.code == "path.home"


def test_paths_of_calls_are_spelt_out(home):
    assert at_home("~/x") == home / "x"
    assert at_home("a~/x").parts == ("a~", "x")
    for call in (
        lambda: evaluate_folders("~/r", "~/p", ["dice"], output="~/o.jsonl"),
        lambda: report("abcd", runs="~/r", output="~/x.html"),
        lambda: medbench.evaluate("psfhs", "~/p", runs="~/r", leaderboards="~/b"),
        lambda: medbench.predict("dssau_net.test", "psfhs", "~/p", weights="~/w.pt", runs="~/r"),
        lambda: medbench.create_model("smp/unet", encoder_weights="~/w.pth"),
    ):
        with pytest.raises(MedbenchError, match=str(home)):
            call()
