"""``tests/example_plugin``, installed by pip, adds a model, a challenge, a metric and a platform."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example_plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package as pip installs it, without network."""
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", place / "site", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / "site"


@pytest.fixture
def used(medbench, site):
    """A command that must end with 0, with the package installed; what it prints."""

    def call(*arguments):
        done = medbench(*arguments, PYTHONPATH=str(site))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_every_part_is_listed_and_shown(used):
    for kind, name, told in (
        ("models", "example/net", "ExampleNet"),
        ("challenges", "example_discs", "segmentation of discs"),
        ("metrics", "example.extent_error", "looks at the first axis alone"),
    ):
        assert name in used(kind, "list", "--match", "example*", "--json")
        assert told in used(kind, "show", name)
    assert "example-server" in used("submit", "platforms", "--json")


def test_the_model_predicts_the_challenge_which_the_metric_scores(used, tmp_path):
    told = used(
        "run", "-m", "example/net", "-c", "example_discs", "--weights", "none", "--set", "width=4",
        "--runs", "runs", "--leaderboards", "boards",
    )  # fmt: skip
    record = json.loads((tmp_path / re.search(r"Record: (\S+)", told)[1]).read_text())
    assert record["metrics"]["extent_error"]["convention"] == "example.extent_error"
    assert record["counts"]["ok"] == record["counts"]["total"] == 8
    assert set(record["settings"]["plugins"]) == {"medbench-example 1.2"}


def test_the_platform_is_offered_and_what_cannot_travel_is_refused(used, medbench, site, tmp_path):
    path = used(
        "submit", "init", "-c", "kpis_patch", "-m", "dssau_net", "--platform", "example-server",
        "--weights", "none",
    ).strip()  # fmt: skip
    assert 'platform = "example-server"' in (tmp_path / path).read_text()
    assert "error" not in used("submit", "check", path)
    done = medbench(
        "submit", "init", "-c", "example_discs", "-m", "example/net", "--platform", "example-server",
        PYTHONPATH=str(site),
    )  # fmt: skip
    assert done.returncode == 2
    assert "comes from the installed package medbench_example" in done.stderr


def test_every_part_keeps_the_contract(site):
    program = (
        "from medbench.testing import check_challenge, check_metric, check_model, check_platform\n"
        "check_model('example/net'); check_challenge('example_discs')\n"
        "check_metric('example.extent_error'); check_platform('example-server'); print('kept')\n"
    )
    from medbench.core.package import PACKAGE

    environment = {"PYTHONPATH": f"{PACKAGE.parent}:{site}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=site)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("kept\n")
