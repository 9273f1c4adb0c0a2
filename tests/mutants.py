"""Break the package on purpose, one place at a time, and see that the named tests notice.

    python tests/mutants.py [NAME …]

``mutants.toml`` lists the mutants: the ``file`` of the package, the text to ``find`` (it stands there once),
what to ``replace`` it with, and the ``tests`` of which one must fail. A copy of the package is changed, never
the package itself. Exit code 0: every mutant died.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SOURCES = ROOT / "benchmark"
LIST = TESTS / "mutants.toml"
SETTINGS = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def mutants(names=()):
    """The entries of the list by name; those that are named, or all."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))
    unknown = set(names) - set(entries)
    if unknown:
        raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}")
    return {name: entry for name, entry in entries.items() if not names or name in names}


def changed(entry, sources):
    """The text of the file with the mutant in it."""
    text = (sources / "medbench" / entry["file"]).read_text(encoding="utf-8")
    count = text.count(entry["find"])
    if count != 1:
        raise SystemExit(f"{entry['file']}: holds the text to find {count} times: {entry['find']!r}")
    return text.replace(entry["find"], entry["replace"])


def run(tests, sources):
    """Exit code of pytest on the tests with the package in ``sources``."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *tests],
        cwd=ROOT,
        env={**os.environ, **SETTINGS, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests did not run: {done.stdout[-800:]}{done.stderr[-800:]}")
    return done.returncode


def survivors(names=()):
    """Names of the mutants that no test noticed; each is reported as soon as it is known."""
    alive = []
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "benchmark"
        shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
        chosen = mutants(names)
        if run(sorted({test for entry in chosen.values() for test in entry["tests"]}), sources) != 0:
            raise SystemExit("the tests fail without a mutant")
        for name, entry in chosen.items():
            path = sources / "medbench" / entry["file"]
            before = path.read_text(encoding="utf-8")
            path.write_text(changed(entry, sources), encoding="utf-8")
            lives = run(entry["tests"], sources) == 0
            path.write_text(before, encoding="utf-8")
            print(f"{'SURVIVED' if lives else 'died    '}  {name}", flush=True)  # noqa: T201
            alive += [name] if lives else []
    return alive


if __name__ == "__main__":
    sys.exit(1 if survivors(sys.argv[1:]) else 0)
