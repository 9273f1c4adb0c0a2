"""Break the package on purpose, one place at a time, and see that the named tests notice.

    python tests/mutants.py [NAME …] [--log build/mutants.tsv]
    python tests/mutants.py --near benchmark/medbench/statistics tests/metrics/test_values.py

``mutants.toml`` lists the mutants: the ``file`` of the package, the text to ``find`` (it stands
there once), what to ``replace`` it with, and the ``tests`` of which one must fail. A mutant that no
test can notice says why in ``survives``. ``--near`` takes the mutants of files and folders that
were changed, sources or tests. A copy of the package is changed, never the package itself. Exit
code 0: every mutant died that is not explained.

Where the system can fork, every mutant is tried in a fork of one process that has imported the numeric
libraries, so that a mutant costs its tests alone. The tests of a mutant are seen to pass without it first.
``--log`` keeps a line a mutant (verdict, name, seconds, hash of its entry, its file and its tests, the test
that noticed); a repeated command goes on from it.
"""

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SOURCES = ROOT / "benchmark"
LIST = TESTS / "mutants.toml"
SETTINGS = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
IMPORTED = (
    "pytest", "numpy", "scipy.ndimage", "scipy.optimize", "scipy.spatial", "scipy.stats", "pydantic", "rich",
    "cv2", "h5py", "nibabel", "tifffile", "hypothesis", "SimpleITK", "torch",
)  # fmt: skip
_NOTICED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def mutants(names=(), near=()):
    """The entries of the list by name; those that are named or near changed files, or all."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))
    unknown = set(names) - set(entries)
    if unknown:
        raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}")
    if not names and not near:
        return entries
    places = [Path(os.path.abspath(place)) for place in near]
    return {
        name: entry
        for name, entry in entries.items()
        if name in names or any(lies_in(path, places) for path in files_of(entry))
    }


def files_of(entry):
    """The changed file and the files of its tests."""
    return [
        SOURCES / "medbench" / entry["file"],
        *(ROOT / test.partition("::")[0] for test in entry["tests"]),
    ]


def lies_in(path, places):
    """Whether a path is one of the places or lies below one."""
    return any(path == place or place in path.parents for place in places)


def changed(entry, sources):
    """The text of the file with the mutant in it."""
    text = (sources / "medbench" / entry["file"]).read_text(encoding="utf-8")
    count = text.count(entry["find"])
    if count != 1:
        raise SystemExit(f"{entry['file']}: holds the text to find {count} times: {entry['find']!r}")
    return text.replace(entry["find"], entry["replace"])


def options(log):
    """Options of pytest; its folder lies beside the log, so that no other run's folders are cleared away."""
    return ["-q", "-x", "--basetemp", str(Path(log).with_name("pytest"))]


def in_this_process(tests, sources, log):
    """Exit code of pytest on the tests with the package in ``sources``; the output goes to ``log``."""
    import pytest

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(ROOT)
    os.environ.update(SETTINGS, PYTHONPATH=str(sources))
    sys.path.insert(0, str(sources))
    return int(pytest.main([*options(log), *tests]))


def run(tests, sources, log):
    """Whether the tests pass with the package in ``sources``.

    Raises:
        SystemExit: when pytest could run none of them.
    """
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = in_this_process(tests, sources, log)
            except BaseException:  # noqa: BLE001 - the child must end here
                traceback.print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        import subprocess

        with open(log, "wb") as stream:
            code = subprocess.run(
                [sys.executable, "-m", "pytest", *options(log), *tests],
                cwd=ROOT,
                env={**os.environ, **SETTINGS, "PYTHONPATH": str(sources)},
                stdout=stream,
                stderr=stream,
            ).returncode
    if code not in (0, 1, 2):
        raise SystemExit(f"the tests did not run ({code}): {Path(log).read_text(errors='replace')[-1600:]}")
    return code == 0


def digest(entry):
    """Hash of what decides about a mutant: its entry, the file that it changes, its tests."""
    text = json.dumps(entry, sort_keys=True)
    return hashlib.sha256(
        "".join([text, *(path.read_text("utf-8") for path in files_of(entry))]).encode()
    ).hexdigest()[:16]


def known(log):
    """Verdicts of a log: (name, hash) -> verdict."""
    if log is None or not log.is_file():
        return {}
    lines = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return {(name, sha): verdict for verdict, name, _, sha, *_ in lines}


class Trial:
    """A copy of the package in which one mutant at a time is tried."""

    def __init__(self, folder):
        self.sources, self.log = Path(folder) / "benchmark", str(Path(folder) / "log")
        shutil.copytree(SOURCES, self.sources, ignore=shutil.ignore_patterns("__pycache__"))
        self.sound = set()

    def verdict(self, entry):
        """``died``, ``explained`` or ``SURVIVED``, and the test that noticed.

        ``UNSOUND`` and what pytest says where the tests fail without the mutant.

        Raises:
            SystemExit: when pytest could run none of the tests.
        """
        tests = tuple(entry["tests"])
        if tests not in self.sound and not run(tests, self.sources, self.log):
            return "UNSOUND", self.output()
        self.sound.add(tests)
        path = self.sources / "medbench" / entry["file"]
        before = path.read_text(encoding="utf-8")
        path.write_text(changed(entry, self.sources), encoding="utf-8")
        try:
            lives = run(tests, self.sources, self.log)
        finally:
            path.write_text(before, encoding="utf-8")
        if lives:
            return "explained" if "survives" in entry else "SURVIVED", ""
        noticed = _NOTICED.search(self.output())
        return "died", noticed[1] if noticed else ""

    def output(self):
        """End of what pytest wrote."""
        return Path(self.log).read_text(errors="replace")[-1600:]


def survivors(names=(), near=(), log=None):
    """Names of the mutants that no test noticed and nothing explains; each is reported once it is known."""
    entries, verdicts = mutants(names, near), known(log)
    os.environ.update(SETTINGS)
    for module in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()
    alive = []
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(folder)
        for name, entry in entries.items():
            sha = digest(entry)
            word, begin, test = verdicts.get((name, sha)), time.monotonic(), ""
            if word is None:
                word, test = trial.verdict(entry)
                print(f"{word:9}  {name}", flush=True)  # noqa: T201
                if word == "UNSOUND":
                    print(test, flush=True)  # noqa: T201
                elif log is not None:
                    with log.open("a", encoding="utf-8") as stream:
                        stream.write(f"{word}\t{name}\t{time.monotonic() - begin:.1f}\t{sha}\t{test}\n")
            alive += [name] if word.isupper() else []
    print(f"{len(entries)} mutants, {len(alive)} that no test noticed or could notice", flush=True)  # noqa: T201
    return alive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="Mutants of the list; all without any.")
    parser.add_argument(
        "--near", nargs="+", default=(), metavar="PATH", help="Those of changed files and folders."
    )
    parser.add_argument("--log", type=Path, help="File of verdicts; a repeated command goes on from it.")
    given = parser.parse_args()
    sys.exit(1 if survivors(given.names, given.near, given.log) else 0)
