"""A run's record, rows, pages and leaderboard name no path, user or host, and hold nothing active."""

import base64
import csv
import getpass
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from medbench.challenges import load_challenge
from medbench.core.places import Places
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference, Request
from medbench.running.run import run

CHALLENGE = load_challenge("cvc_clinicdb")
HOSTILE = '=HYPERLINK("http://x")<script>alert(1)</script>\x1b[2J\u202e|[a](javascript:b)'


@pytest.fixture
def answers(small_cvc, tmp_path):
    """Predictions of which one is damaged and one is absent."""
    folder = tmp_path / "home of alice" / "answers"
    folder.mkdir(parents=True)
    first, _, *others = CHALLENGE.cases(small_cvc, "test")
    for case in others:
        cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    (folder / f"{first.id}.png").write_bytes(b"no image")
    return folder


def written(*folders):
    return [
        path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.is_file() and path.suffix in (".json", ".jsonl", ".html", ".md", ".csv", ".tex", ".sha256")
    ]


def private_words(*paths):
    words = {str(path) for path in paths} | {str(Path.home()), str(Path.cwd())}
    words |= {getpass.getuser()} if len(getpass.getuser()) > 4 else set()
    return words | ({socket.gethostname()} if len(socket.gethostname()) > 4 else set())


def test_nothing_that_an_evaluation_writes_names_this_machine(small_cvc, answers, tmp_path):
    finished = evaluate(
        "cvc_clinicdb", answers, data=small_cvc, runs=tmp_path / "runs", leaderboards=tmp_path / "boards"
    )
    assert (finished.record.counts.failed, finished.record.counts.missing) == (1, 1)
    files = written(tmp_path / "runs", tmp_path / "boards")
    assert {"record.json", "cases.jsonl", "results.jsonl", "report.html", "README.md"} <= {
        path.name for path in files
    }
    for path in files:
        text = path.read_text()
        for word in private_words(small_cvc, answers, tmp_path, "alice"):
            assert word not in text, (path, word)
    failed, missing = (row for row in finished.rows if row.status != "ok")
    assert failed.reason
    assert missing.reason.endswith("in {predictions}")
    assert finished.record.command == (
        "medbench evaluate -c cvc_clinicdb --predictions {predictions} --data {data}"
    )


def test_the_command_for_this_machine_repeats_the_evaluation(small_cvc, answers, tmp_path):
    first = evaluate("cvc_clinicdb", answers, data=small_cvc, runs=tmp_path / "runs")
    filled = first.record.command.replace("{data}", shlex.quote(str(small_cvc)))
    assert filled.replace("{predictions}", shlex.quote(str(answers))) == first.command
    words = shlex.split(first.command)
    assert words[:2] == ["medbench", "evaluate"]
    again = evaluate(
        words[words.index("-c") + 1],
        words[words.index("--predictions") + 1],
        data=words[words.index("--data") + 1],
        runs=tmp_path / "runs",
    )
    assert again.folder == first.folder


def test_a_run_names_weights_options_and_plug_ins_by_words(tmp_path):
    encoder = tmp_path / "encoder.pt"
    encoder.write_bytes(b"x")
    request = Request(
        model="m",
        challenge="c",
        data=tmp_path,
        weights=str(tmp_path / "own.pt"),
        options={"encoder_weights": str(encoder), "encoder": "tu-x"},
        inference=Inference(image_size=64),
        runs=tmp_path / "runs",
        plugins=(tmp_path / "plugin.py",),
    )
    assert request.command(for_record=True) == (
        "medbench --plugin {plugins}/plugin.py run -m m -c c --data {data} --weights {weights} "
        "--set 'encoder_weights=\"{encoder_weights}\"' --set 'encoder=\"tu-x\"' --image-size 64"
    )
    assert str(tmp_path) in request.command()


def test_a_record_of_a_run_holds_no_path(small_iugc, tmp_path):
    finished = run(
        "dssau_net.test", "iugc2024", data=small_iugc, weights="none", inference=Inference(image_size=128),
        runs=tmp_path / "runs", leaderboards=tmp_path / "boards",
    )  # fmt: skip
    for path in written(tmp_path / "runs", tmp_path / "boards"):
        for word in private_words(small_iugc, tmp_path):
            assert word not in path.read_text(), (path, word)
    assert "--data {data} --weights none" in finished.record.command
    assert str(small_iugc) in finished.command


def scripts_of(page):
    """For each script of a page, whether it is the one that the policy names by its hash."""
    (allowed,) = re.findall(r"script-src 'sha256-([^']+)';", page)
    bodies = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert page.count("<script") == len(bodies)
    return [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() == allowed for body in bodies]


def test_names_are_harmless_in_every_form(small_cvc, answers, tmp_path):
    evaluate(
        "cvc_clinicdb", answers, data=small_cvc, name=HOSTILE, runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    for path in written(tmp_path / "runs", tmp_path / "boards"):
        text = path.read_text()
        assert "\x1b" not in text, path
        assert "\u202e" not in text, path
        if path.suffix == ".md":
            assert "<" not in text
            assert "](javascript" not in text
        if path.suffix == ".html":
            assert scripts_of(text) == [True]
            head = text[: text.index("<style>")]
            assert "default-src 'none'" in head
            assert head.index("Content-Security-Policy") < head.index("<title>")
        if path.suffix == ".csv":
            cells = [cell for line in csv.reader(text.splitlines()) for cell in line]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    (row,) = map(json.loads, (tmp_path / "boards/cvc_clinicdb/results.jsonl").read_text().splitlines())
    assert row["title"].isprintable()


def test_a_page_may_run_nothing_and_reach_nothing(small_cvc, answers, tmp_path):
    from html.parser import HTMLParser

    finished = evaluate("cvc_clinicdb", answers, data=small_cvc, runs=tmp_path / "runs")
    policies, active = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            facts = dict(attributes)
            policies.append(facts["content"]) if facts.get("http-equiv") else None
            active.append(tag) if tag in ("iframe", "object", "link", "form") else None
            active.extend(name for name in facts if name.startswith("on"))
            sources = [facts[name] for name in ("src", "srcset", "action") if name in facts]
            active.extend(source for source in sources if not source.startswith("data:image/"))

    page = (finished.folder / "report.html").read_text()
    Reader().feed(page)
    assert active == []
    assert scripts_of(page) == [True]
    assert " style=" not in page
    (policy,) = policies
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def python(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
    )


LISTING = "import sys; sys.argv = ['medbench', *sys.argv[1:]]; from medbench.cli.main import main; main()"


def test_a_terminal_of_plain_letters_shows_tables_and_errors(tmp_path):
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "NO_COLOR": "1"}
    done = python(LISTING, "leaderboard", "show", "cvc_clinicdb", "--leaderboards", str(tmp_path), **plain)
    assert done.returncode == 0, done.stderr
    assert b" ^" in done.stdout
    failed = python(LISTING, "challenges", "show", "psfhs–ü", **plain)
    assert failed.returncode == 2
    assert b"Traceback" not in failed.stderr


WITHOUT_POSIX = """
import importlib, pkgutil, sys
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
import filelock
import medbench
skipped = []
for module in pkgutil.walk_packages(medbench.__path__, "medbench."):
    if "templates" in module.name or module.name.endswith("__main__"):
        continue
    if module.name.split(".")[1] in ("core", "io", "statistics", "metrics", "records", "leaderboards",
                                     "running", "cli", "challenges", "profiling"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert not str(error.name).startswith("medbench"), error
            assert error.name not in ("fcntl", "pwd", "grp", "resource", "termios"), (module.name, error)
            skipped.append(error.name)
        count = len(sys.modules)
print("imported", sum(name.startswith("medbench.") for name in sys.modules), skipped)
from pathlib import Path
with filelock.FileLock(Path(sys.argv[1]) / ".lock"):
    print("locked", type(filelock.FileLock(Path(sys.argv[1]) / ".lock")).__name__)
"""


@pytest.mark.slow
def test_the_package_can_be_imported_where_there_is_no_posix(tmp_path):
    done = python(WITHOUT_POSIX, str(tmp_path))
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert int(done.stdout.split()[1]) > 100
    assert b"locked" in done.stdout


@pytest.mark.parametrize("word", ["--runs=~/x", "--data=~", "--leaderboards=~/a b"])
def test_a_tilde_after_an_option_is_the_home_folder(word, monkeypatch):
    from medbench.cli.parsing import with_home

    monkeypatch.setenv("HOME", "/home/alice")
    assert with_home(word) == word.replace("~", "/home/alice")
    for other in ("--cases=*~/x", "~/x", "-p=~", "--name=~alice"):
        assert with_home(other) == other


@pytest.mark.parametrize("name", ["RUNS", "LEADERBOARDS", "CACHE"])
def test_a_tilde_in_a_variable_is_the_home_folder(name, monkeypatch):
    from medbench.core import folders

    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv(f"MEDBENCH_{name}", "~/x")
    assert getattr(folders, f"{name.lower()}_folder")() == Path("/home/alice/x")
    assert Request.of("m", "c", data="~/d", weights="~/w.pt").data == Path("/home/alice/d")
    assert Request.of("m", "c", weights="~/w.pt").weights == "/home/alice/w.pt"


def test_a_request_names_its_places():
    places = Request.of("m", "c", data="/srv/data of x", weights="/srv/w.pt").places()
    assert isinstance(places, Places)
    assert places.hide("/srv/data of x/a, /srv/w.pt") == "{data}/a, {weights}"
