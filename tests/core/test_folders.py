"""A tilde at the beginning of a path is the home folder in Python calls and variables, or refused."""

import pytest

import medbench
from medbench.core import folders
from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home
from medbench.core.places import Places
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


@pytest.mark.parametrize("spelling", ["$HOME/x", "${HOME}/x"])
@pytest.mark.parametrize("variable", PLACES)
def test_the_variable_of_the_home_folder_is_spelt_out_too(home, monkeypatch, variable, spelling):
    """As YAML, Dockerfiles of other programs and files of variables leave it."""
    monkeypatch.setenv(variable, spelling)
    assert PLACES[variable]() == home / "x"
    monkeypatch.setenv(variable, "$NO_SUCH_PLACE/x")
    with pytest.raises(MedbenchError, match=r"\$NO_SUCH_PLACE is a variable") as caught:
        PLACES[variable]()
    assert caught.value.code == "path.variable"


def test_the_users_cache_is_below_the_home_folder_whatever_names_it(home, monkeypatch):
    monkeypatch.delenv("MEDBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "~/c")
    assert folders.cache_folder().is_relative_to(home)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(MedbenchError, match="The home folder is not known") as caught:
        folders.cache_folder()
    assert (caught.value.code, caught.value.hint) == ("path.home", "Set MEDBENCH_CACHE or HOME.")
    assert Places.of({}).hide("/x/y") == "…/y"


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
