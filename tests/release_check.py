"""What a user installs: wheel and sdist in empty environments, away from the checkout.

    python tests/release_check.py [--python 3.11 …] [--all-extras] [--lowest] [--this-environment]

Builds wheel and sdist, installs each into an empty environment with the light core, and runs from an empty
folder what needs no torch: listings, scoring from Python, an evaluation, and ``run``, which must say what
installs torch. ``--lowest`` installs the lowest versions that pyproject.toml declares, on the first of the
Pythons (later ones have no wheels of them), ``--all-extras`` the extra ``all`` and the README's command.
``--this-environment`` also builds the site and asks for licences and known vulnerabilities here. ``--only``
names lanes. Every lane is run, whatever those before it gave, and its environment removed; a table of
verdicts comes last. Exit code 1 where one did not pass.
"""

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 460 << 20
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
LANES = ("wheel", "sdist", "lowest", "all")
HERE = {
    "site": [["docs/write_reference.py"], ["-m", "mkdocs", "build", "--strict"]],
    "licences": [["tests/licences.py"]],
    "vulnerabilities": [["tests/audit.py", "--required"]],
}
"""Points of this Python's environment, and what it runs for each."""
SCORES = (
    "import numpy as np, medbench, sys; a = np.zeros((8, 8), np.uint8); a[2:5, 2:5] = 1; "
    "assert medbench.score('hd95.pooled', a, a, spacing=(1, 1)).value == 0; "
    "assert 'torch' not in sys.modules and len(medbench.list_challenges()) > 20"
)
MASK = "import cv2, numpy, sys; cv2.imwrite(sys.argv[1], numpy.eye(32, dtype=numpy.uint8) * 255)"
README_COMMAND = ("run", "--model", "dssau_net", "--challenge", "iugc2024")


class Fault(Exception):
    """Why a point did not pass: one line, and under it the output that shows it."""


def called(*command, cwd, cache=None, code=0):
    """Output of a command that must end with a code; its cache is below its folder if not given.

    Raises:
        Fault: where it ends with another.
    """
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("MEDBENCH_", "PYTHONPATH"))
    }
    words = list(map(str, command))
    done = subprocess.run(
        words, cwd=cwd, env={**own, "MEDBENCH_CACHE": str(cache or cwd / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != code:
        told = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        output = f"{' '.join(words)}: {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        raise Fault(f"{told}\n{output}")
    return done.stdout + done.stderr


def demand(true, told):
    """Raise a fault with its words where something is not so."""
    if not true:
        raise Fault(told)


def environment(folder, python, *, lowest):
    """An empty environment: its Python, and uv where it is needed (lowest versions, another Python)."""
    if python == OWN and not lowest:
        called(sys.executable, "-m", "venv", folder, cwd=folder.parent)
        return folder / "bin" / "python", None
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    demand(uv, "other versions of Python and the lowest of packages need uv: pip install uv")
    called(uv, "venv", "--python", python, folder, cwd=folder.parent)
    return folder / "bin" / "python", uv


def install(python, uv, what, cwd, *options):
    """Install into the environment of a Python."""
    if uv:
        called(uv, "pip", "install", "--quiet", "--python", python, *options, what, cwd=cwd)
    else:
        called(python, "-m", "pip", "install", "--quiet", *options, what, cwd=cwd)


def light(python, cwd):
    """What works without torch, from an empty folder."""
    medbench = python.parent / "medbench"
    called(python, "-c", SCORES, cwd=cwd)
    called(medbench, "--help", cwd=cwd)
    demand("hd95.pooled" in called(medbench, "metrics", "--json", cwd=cwd), "metrics lists no hd95.pooled")
    called(medbench, "data", "sample", "hc18", "-o", cwd / "hc18", cwd=cwd)
    masks = cwd / "masks"
    masks.mkdir(exist_ok=True)
    called(python, "-c", MASK, masks / "a.png", cwd=cwd)
    scores = called(medbench, "evaluate", "-r", masks, "-p", masks, "--metrics", "dice,hd95.pooled",
                    "--spacing", "pixel", "--json", cwd=cwd)  # fmt: skip
    demand(json.loads(scores), f"evaluate printed no scores: {scores}")
    (cwd / "broken").mkdir(exist_ok=True)
    (cwd / "broken" / "012_2HC.png").write_bytes(b"no image")
    called(medbench, "evaluate", "-c", "hc18", "--data", cwd / "hc18", "--predictions", cwd / "broken",
           cwd=cwd, code=1)  # fmt: skip
    told = called(medbench, *README_COMMAND, cwd=cwd, code=2)
    demand("pip install 'medbench[models]'" in told, f"run without torch says: {told}")


def size_of(folder):
    """Bytes of a folder's files."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def lane(archive, python, place, *, extra="", lowest=False):
    """Install one archive into an environment of its own in an empty folder and try it; words for the table.

    Raises:
        Fault: with the first command that does not end as it should.
    """
    interpreter, uv = environment(place / "venv", python, lowest=lowest)
    options = ("--resolution", "lowest-direct") if lowest else ()
    before = size_of(place / "venv")
    install(interpreter, uv, f"{archive}{extra}", place, *options)
    taken = size_of(place / "venv") - before
    if extra:
        printed = called(interpreter.parent / "medbench", *README_COMMAND, cwd=place)
        demand("0 failed, 0 missing" in printed, f"the README's command printed: {printed}")
        return f"{taken >> 20} MiB, the README's command"
    light(interpreter, place)
    demand(lowest or taken <= MOST_BYTES, f"the light core takes {taken >> 20} MiB")
    return f"{taken >> 20} MiB"


def here(commands, cache):
    """Run what asks for one point of this environment; the last line that it prints."""
    printed = [called(sys.executable, *words, cwd=ROOT, cache=cache) for words in commands]
    return (printed[-1].strip().splitlines() or [""])[-1]


def built(archives):
    """Build wheel and sdist; their names."""
    called(sys.executable, "-m", "build", "--outdir", archives, ROOT, cwd=archives.parent)
    return ", ".join(sorted(path.name for path in archives.iterdir()))


def points(asked, folder):
    """Name and function of everything that is asked for."""
    if asked.this_environment:
        for name, commands in HERE.items():
            yield name, functools.partial(here, commands, folder / "cache")
    yield "archives", functools.partial(built, folder / "dist")
    for python in asked.python:
        lanes = {"wheel": ("*.whl", {}), "sdist": ("*.tar.gz", {})}
        if asked.lowest and python == asked.python[0]:
            lanes["lowest"] = "*.whl", {"lowest": True}
        if asked.all_extras:
            lanes["all"] = "*.whl", {"extra": "[all]"}
        for name, (pattern, options) in lanes.items():
            if name in asked.only:
                place = folder / f"{name}-{python}"
                archive = folder / "dist", pattern
                yield place.name, functools.partial(installed, archive, python, place, options)


def installed(archive, python, place, options):
    """A lane in a folder that is removed behind it, with the archive of a folder and a pattern."""
    folder, pattern = archive
    path = next(folder.glob(pattern), None)
    demand(path, "there is no archive to install")
    place.mkdir()
    try:
        return lane(path, python, place, **options)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def judged(name, point):
    """A line of the table: what, verdict, minutes, words."""
    begin = time.monotonic()
    try:
        verdict, told = "passed", point()
    except (Fault, OSError, ValueError) as fault:
        verdict = "not passed"
        told, _, output = str(fault).partition("\n")
        print(f"{name}: {output or told}", flush=True)  # noqa: T201
    minutes = (time.monotonic() - begin) / 60
    print(f"{verdict:<10}  {name}: {told}", flush=True)  # noqa: T201
    return name, verdict, f"{minutes:.1f}", told


def table(lines):
    """The lines under their headings, in columns."""
    rows = [("point", "verdict", "min", "what it says"), *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        told = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        print(f"{told}  {row[3]}", flush=True)  # noqa: T201


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=[OWN], help="Versions of Python.")
    parser.add_argument(
        "--all-extras", action="store_true", help="Also the extra all, with the README's command."
    )
    parser.add_argument("--lowest", action="store_true", help="Also the lowest versions that are declared.")
    parser.add_argument(
        "--this-environment", action="store_true", help="Also the site, licences and known vulnerabilities."
    )
    parser.add_argument(
        "--only", nargs="+", default=LANES, choices=LANES, help="Lanes; all that are asked for."
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medbench-release-") as name:
        folder = Path(name)
        lines = [judged(name, point) for name, point in points(asked, folder)]
    print()  # noqa: T201
    table(lines)
    faulty = [name for name, verdict, *_ in lines if verdict != "passed"]
    print(f"not passed: {', '.join(faulty)}" if faulty else "all passed", flush=True)  # noqa: T201
    return int(bool(faulty))


if __name__ == "__main__":
    sys.exit(main())
