"""``make release-check`` tries every point and ends with a table of verdicts."""

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


def test_a_lane_without_an_archive_does_not_pass(tmp_path):
    def lane():
        return release_check.installed((tmp_path, "*.whl"), "3.11", tmp_path, {})

    assert release_check.judged("wheel-3.11", lane)[1] == "not passed"
