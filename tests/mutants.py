"""Break the package on purpose, one place at a time, and see that the named tests notice.

    python tests/mutants.py [NAME …]
    python tests/mutants.py --near benchmark/medbench/statistics tests/metrics/test_values.py

``mutants.toml`` lists the mutants: the ``file`` of the package, the text to ``find`` (it stands
there once), what to ``replace`` it with, and the ``tests`` of which one must fail. A mutant that no
test can notice says why in ``survives``. ``--near`` takes the mutants of files and folders that
were changed, sources or tests. A copy of the package is changed, never the package itself. Exit
code 0: every mutant died that is not explained.

Where the system can fork, every mutant is tried in a fork of one process that has imported the numeric
libraries, so that a mutant costs its tests alone.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import tomllib
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SOURCES = ROOT / "benchmark"
LIST = TESTS / "mutants.toml"
SETTINGS = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
IMPORTED = (
    "pytest",
    "numpy",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.stats",
    "pydantic",
    "rich",
)


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


def survivors(names=(), near=()):
    """Names of the mutants that no test noticed and nothing explains; each is reported once it is known."""
    chosen, alive = mutants(names, near), []
    for module in IMPORTED:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        sources, log = Path(folder) / "benchmark", str(Path(folder) / "log")
        shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
        if not run(sorted({test for entry in chosen.values() for test in entry["tests"]}), sources, log):
            raise SystemExit(
                f"the tests fail without a mutant: {Path(log).read_text(errors='replace')[-1600:]}"
            )
        for name, entry in chosen.items():
            path = sources / "medbench" / entry["file"]
            before = path.read_text(encoding="utf-8")
            path.write_text(changed(entry, sources), encoding="utf-8")
            lives = run(entry["tests"], sources, log)
            path.write_text(before, encoding="utf-8")
            word = "died     " if not lives else "explained" if "survives" in entry else "SURVIVED "
            print(f"{word}  {name}", flush=True)  # noqa: T201
            alive += [name] if word == "SURVIVED " else []
    print(f"{len(chosen)} mutants, {len(alive)} that no test noticed", flush=True)  # noqa: T201
    return alive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="Mutants of the list; all without any.")
    parser.add_argument(
        "--near", nargs="+", default=(), metavar="PATH", help="Those of changed files and folders."
    )
    given = parser.parse_args()
    sys.exit(1 if survivors(given.names, given.near) else 0)
