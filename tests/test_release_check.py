"""``make release-check`` tries every point and ends with a table of verdicts."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import release_check


def test_every_point_is_tried_and_those_that_did_not_pass_are_named(monkeypatch, capsys):
    def faulty():
        raise release_check.Fault("no database answers\nthe whole output")

    given = [("site", lambda: "built"), ("vulnerabilities", faulty), ("wheel-3.11", lambda: "358 MiB")]
    monkeypatch.setattr(release_check, "points", lambda asked, folder: given)
    monkeypatch.setattr(sys, "argv", ["release_check.py"])
    assert release_check.main() == 1
    out = capsys.readouterr().out
    assert "the whole output" in out
    heading, *lines, last = out.splitlines()[-5:]
    assert heading.split() == ["point", "verdict", "min", "what", "it", "says"]
    assert [line.split("  ")[0] for line in lines] == ["site", "vulnerabilities", "wheel-3.11"]
    assert ["not passed" in line for line in lines] == [False, True, False]
    assert last == "not passed: vulnerabilities"
    del given[1]
    assert release_check.main() == 0
    assert capsys.readouterr().out.endswith("all passed\n")


def test_a_command_that_ends_with_another_code_is_told_by_its_last_line(tmp_path):
    program = "import sys; sys.exit('first\\nlast')"
    with pytest.raises(release_check.Fault, match=r"^last\n") as fault:
        release_check.called(sys.executable, "-c", program, cwd=tmp_path)
    assert "first\nlast" in str(fault.value)


def test_every_lane_that_is_asked_for_is_called_with_its_archive(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(release_check, "lane", lambda *words, **options: called.append((*words, options)))
    monkeypatch.setattr(release_check, "built", lambda archives: "")
    monkeypatch.setattr(release_check, "here", lambda commands, cache: "")
    asked = argparse.Namespace(
        python=["3.11", "3.12"], lowest=True, all_extras=True, this_environment=True, only=release_check.LANES
    )
    points = dict(release_check.points(asked, tmp_path))
    assert {release_check.judged(name, point)[1] for name, point in points.items() if "3.1" in name} == {
        "not passed"
    }, "there is no archive yet"
    (tmp_path / "dist").mkdir()
    wheel, sdist = tmp_path / "dist/medbench-1-py3-none-any.whl", tmp_path / "dist/medbench-1.tar.gz"
    for path in (wheel, sdist):
        path.touch()
    assert {release_check.judged(name, point)[1] for name, point in points.items()} == {"passed"}
    assert list(points)[:4] == ["site", "licences", "vulnerabilities", "archives"]
    assert called == [
        (wheel, "3.11", tmp_path / "wheel-3.11", {}),
        (sdist, "3.11", tmp_path / "sdist-3.11", {}),
        (wheel, "3.11", tmp_path / "lowest-3.11", {"lowest": True}),
        (wheel, "3.11", tmp_path / "all-3.11", {"extra": "[all]"}),
        (wheel, "3.12", tmp_path / "wheel-3.12", {}),
        (sdist, "3.12", tmp_path / "sdist-3.12", {}),
        (wheel, "3.12", tmp_path / "all-3.12", {"extra": "[all]"}),
    ]
