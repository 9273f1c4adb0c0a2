"""Rehearsals without an engine: real ones in a relocated root, and how their outcomes are judged."""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest

from medbench.core.errors import MedbenchError
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers import launcher
from medbench.submissions.containers.runners import Outcome, ServerDidNotStart
from medbench.submissions.limits import Limits
from medbench.submissions.rehearse import rehearsal
from medbench.submissions.rehearse.rehearsal import rehearse
from medbench.submissions.workflow import _size_lines, _usage_lines


def rules(result, *severities):
    return [one.rule for one in result.findings if one.severity in (severities or ("error", "warning"))]


def test_both_methods_give_the_labels_of_medbench_run(built):
    result = rehearse(built, pattern="segmentation/*", count=1)
    assert rules(result) == []
    assert result.passed
    assert result.identical == 2
    assert [usage.case.partition(":")[0] for usage in result.usage] == ["exec"] + ["invoke"] * 2
    assert all(usage.time_s > 0 for usage in result.usage)
    report = json.loads((built.folder / "rehearsal.json").read_text())
    assert report["passed"] is True
    assert report["weights_sha256"] == built.manifest["weights_sha256"]
    assert report["limits"]["shared_memory_bytes"] == 128 << 20
    assert report["labels"]["medbench.model"] == "dssau_net.test"
    run, _, call = report["usage"]
    assert 0 < run["start_s"] < run["time_s"]
    assert call["start_s"] is None
    lines = list(_usage_lines(report))
    assert [line.partition(":")[0] for line in lines] == ["start", "a case", "start of a run", "memory"]
    share = report["usage"][1]["time_s"] / report["usage"][1]["limit_s"]
    assert lines[0].endswith(f"{share:.1%} of the limit")
    assert lines[3].endswith("of the limit")


def test_saving_tells_the_slowest_start_and_case_and_the_largest_memory_as_parts_of_their_limits():
    def usage(case, time_s, peak_bytes, start_s, limit_s):
        return {
            "case": case,
            "time_s": time_s,
            "peak_bytes": peak_bytes,
            "start_s": start_s,
            "limit_s": limit_s,
        }

    rows = [
        usage("exec: a", 30.0, 2 * 10**9, 4.0, 600.0),
        usage("exec: b", 60.0, 4 * 10**9, 6.0, 600.0),
        usage("invoke: start", 12.0, None, None, 300.0),
    ]
    assert list(_usage_lines({"usage": rows, "limits": {"memory_bytes": 16 * 10**9}})) == [
        "start: 12.0 s at most, 4.0% of the limit",
        "a case: 60.0 s at most, 10.0% of the limit",
        "start of a run: 6.0 s at most, part of the time above",
        "memory: 4.00 GB at most, 25.0% of the limit",
    ]


def test_saving_tells_the_sizes_as_parts_of_their_limits():
    assert list(_size_lines(2 * 10**9, 5 * 10**8, Limits(image_bytes=10**10, upload_bytes=10**10))) == [
        "image, unpacked: 2.00 GB, 20.0% of the limit",
        "upload: 0.50 GB, 5.0% of the limit",
    ]
    assert list(_size_lines(2 * 10**9, 5 * 10**8, Limits())) == [
        "image, unpacked: 2.00 GB",
        "upload: 0.50 GB",
    ]


def test_weights_that_are_mounted_and_other_code_that_downloads(write_submission, small_iugc, tmp_path):
    built = build_context(
        BuildRequest(
            write_submission("mounted", delivery="mounted"), data=small_iugc, output=tmp_path / "build"
        )
    )
    assert not (built.app / "model").exists()
    entry = built.app / "inference.py"
    entry.write_text(
        entry.read_text().replace(
            "    return run(HERE, arguments)",
            "    import urllib.request\n"
            "    try:\n        urllib.request.urlopen('http://weights.example.org/w.pt')\n"
            "    except OSError:\n        pass\n"
            "    return run(HERE, arguments)",
        )
    )
    only_exec(built)
    result = rehearse(built, pattern="segmentation/*", count=1)
    assert rules(result) == ["rehearsal.network"]
    assert "weights.example.org:80" in result.findings[0].message
    assert result.identical == 1


def only_exec(built):
    variants = [v for v in built.platform.variants(built.submission) if not v.serve]
    object.__setattr__(built, "platform", type("Once", (type(built.platform),), {})())
    built.platform.variants = lambda submission: variants


class Fake:
    """A runner that plays an outcome and, for each call, an action on the root."""

    name = "fake"

    def hand_over(self, folder):
        """Nobody else writes."""

    def __init__(self, root, outcome=None, action=None):
        self.root, self.action = root, action or (lambda root: None)
        self.outcome = outcome or Outcome(True, 0, 1.0, line("a", 1.0, 10**9))

    def run(self, arguments, time_s):
        self.action(self.root)
        return self.outcome

    @contextlib.contextmanager
    def serve(self, arguments, start_s):
        yield lambda time_s: self.run((), time_s)


def line(case, time_s, peak):
    return f'medbench-case {{"case": "{case}", "time_s": {time_s}, "peak_bytes": {peak}}}\n'


def play(built, outcome=None, action=None):
    runner = Fake(built.folder / "rehearsal" / "root", outcome, action)
    return rehearse(built, runners=[runner], pattern="segmentation/*", count=1)


def write_expected(built, change=lambda image: image):
    import SimpleITK

    def act(root):
        (mask,) = (built.folder / "rehearsal" / "expected" / "predictions").rglob("*.png")
        (source,) = (root / "input" / "images").rglob("*.mha")
        image = SimpleITK.ReadImage(str(mask))
        grid = SimpleITK.ReadImage(str(source))
        size = 2
        if grid.GetDimension() == 3:
            grid = grid[:, :, 0]
        image.SetSpacing(grid.GetSpacing()[:size])
        target = root / "output" / "images" / "segmentation" / "x.mha"
        target.parent.mkdir(parents=True)
        SimpleITK.WriteImage(change(image), str(target))

    return act


def test_a_run_at_70_percent_of_a_limit_is_warned_of_and_above_it_refused(built):
    good = write_expected(built)
    cases = [
        (Outcome(True, 0, 2519.0, line("a", 1, 10**9)), []),
        (Outcome(True, 0, 2521.0, line("a", 1, 10**9)), ["limits.time"] * 2),
        (Outcome(True, 0, 3601.0, line("a", 1, 10**9)), ["limits.time"] * 2),
        (Outcome(True, 0, 1.0, line("a", 1, 12 * 10**9)), ["limits.memory"] * 2),
        (Outcome(True, 0, 1.0, line("a", 1, 17 * 10**9)), ["limits.memory"] * 2),
    ]
    for number, (outcome, expected) in enumerate(cases):
        result = play(built, outcome, good)
        assert rules(result) == expected
        assert result.passed == (number not in (2, 4))


def test_a_gpu_build_says_what_was_not_rehearsed(write_submission, small_iugc, one_thread, tmp_path):
    file = write_submission("on-a-gpu", change=("[image]", '[image]\naccelerator = "cuda"'))
    made = build_context(BuildRequest(file, small_iugc, output=tmp_path))
    (one,) = [finding for finding in play(made).findings if finding.rule == "rehearsal.gpu"]
    assert one.severity == "note"
    assert "GPU memory" in one.message


def test_a_start_is_judged_by_the_platforms_limit_of_starts(built, monkeypatch):
    @contextlib.contextmanager
    def slow(self, arguments, start_s):
        moments[0] += 299.0
        yield lambda time_s: self.run((), time_s)

    moments = [0.0]
    monkeypatch.setattr(Fake, "serve", slow)
    monkeypatch.setattr(rehearsal.time, "perf_counter", lambda: moments[0])
    result = play(built, action=write_expected(built))
    (one,) = [finding for finding in result.findings if finding.rule == "limits.start"]
    assert (one.severity, "299.00 s of 300 s start" in one.message) == ("warning", True)


def broken(image):
    import SimpleITK

    return SimpleITK.BinaryThreshold(image, 1, 2, 5, 0)


def moved(image):
    image.SetSpacing((9.0, 9.0))
    return image


def as_float(image):
    import SimpleITK

    return SimpleITK.Cast(image, SimpleITK.sitkFloat32)


def cut(image):
    return image[:-1, :]


@pytest.mark.parametrize(
    ("change", "rule"),
    [(broken, "output.differs"), (moved, "output.spacing"), (as_float, "output.type"), (cut, "output.size")],
)
def test_outputs_that_differ_are_errors(built, change, rule):
    result = play(built, action=write_expected(built, change))
    assert rules(result) == [rule] * 2
    assert not result.passed
    assert result.identical == 0


def test_no_output_and_two_outputs_are_errors(built):
    assert rules(play(built)) == ["output.missing"] * 2

    def twice(root):
        write_expected(built)(root)
        (path,) = (root / "output").rglob("*.mha")
        shutil.copyfile(path, path.with_name("y.mha"))

    assert rules(play(built, action=twice)) == ["output.several"] * 2


def test_an_exit_code_is_an_error_that_shows_the_last_line(built):
    result = play(
        built,
        Outcome(
            False,
            2,
            1.0,
            'warning\nerror: a.mha: is bad.\nmedbench-case {"x": 1}\n'.replace(
                '{"x": 1}', '{"case": "a", "time_s": 1, "peak_bytes": 1}'
            ),
        ),
    )
    assert rules(result) == ["rehearsal.exit"] * 2
    assert result.findings[0].message.endswith("ended with 2: error: a.mha: is bad.")
    killed = play(built, Outcome(False, 137, 1.0, ""))
    assert "out of memory" in killed.findings[0].message


def test_a_server_that_does_not_start_is_an_error(built):
    class Silent(Fake):
        @contextlib.contextmanager
        def serve(self, arguments, start_s):
            raise ServerDidNotStart("it ended: error: no weights")
            yield

    runner = Silent(built.folder / "rehearsal" / "root", action=write_expected(built))
    result = rehearse(built, runners=[runner], pattern="segmentation/*", count=1)
    assert rules(result) == ["rehearsal.start"]
    assert "no weights" in result.findings[0].message


def test_no_case_of_that_name_is_told(built):
    with pytest.raises(MedbenchError) as caught:
        rehearse(built, pattern="nothing*")
    assert caught.value.code == "rehearsal.no_case"


@pytest.mark.parametrize(
    ("code", "denied"),
    [
        ("import urllib.request as r; r.urlopen('http://x.example.org/')", "x.example.org:80"),
        ("import socket; socket.create_connection(('192.0.2.1', 443))", "192.0.2.1:443"),
        ("open('beside.txt', 'w')", "beside.txt"),
        ("import os; os.makedirs('new/folder')", "new"),
        ("open('/dev/shm/medbench-test', 'wb')", "/dev/shm/medbench-test"),
        ("import os; os.open('beside.txt', os.O_CREAT | os.O_WRONLY)", "beside.txt"),
        ("import pytest", None),
        ("open('out/x', 'w').write('1'); open(__file__).read(); print('done')", ""),
    ],
)
def test_the_launcher_denies_what_a_container_lacks(tmp_path, code, denied):
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-S", "-E", launcher.__file__, str(tmp_path), str(tmp_path / "out"), "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = Outcome(True, 0, 0.0, done.stderr).denied
    if denied is None:
        assert "No module named 'pytest'" in done.stderr
    elif denied:
        assert done.returncode == 1
        assert told[0]["detail"].endswith(denied)
    else:
        assert (done.returncode, told, done.stdout) == (0, [], "done\n")
    assert not (tmp_path / "beside.txt").exists()
