"""What a user installs: wheel and sdist in empty environments, away from the checkout.

    python tests/release_check.py [--python 3.11 …] [--all-extras] [--lowest]

Builds wheel and sdist, installs each into an empty environment with the light core, and runs from an empty
folder what needs no torch: listings, scoring from Python, an evaluation, and ``run``, which must say what
installs torch. ``--lowest`` installs the lowest versions that pyproject.toml declares, on the first of the
Pythons (later ones have no wheels of them), ``--all-extras`` the extra ``all`` and the README's command.
``--only`` names lanes. Prints one line a lane; exit code 1 where one fails.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 460 << 20
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
LANES = ("wheel", "sdist", "lowest", "all")
SCORES = (
    "import numpy as np, medbench, sys; a = np.zeros((8, 8), np.uint8); a[2:5, 2:5] = 1; "
    "assert medbench.score('hd95.pooled', a, a, spacing=(1, 1)).value == 0; "
    "assert 'torch' not in sys.modules and len(medbench.list_challenges()) > 20"
)
MASK = "import cv2, numpy, sys; cv2.imwrite(sys.argv[1], numpy.eye(32, dtype=numpy.uint8) * 255)"


def called(*command, cwd, code=0):
    """Output of a command that must end with a code."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("MEDBENCH_", "PYTHONPATH"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**own, "MEDBENCH_CACHE": str(cwd / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != code:
        raise SystemExit(
            f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
    return done.stdout + done.stderr


def environment(folder, python, *, lowest):
    """An empty environment: its Python, and uv where it is needed (lowest versions, another Python)."""
    if python == OWN and not lowest:
        called(sys.executable, "-m", "venv", folder, cwd=folder.parent)
        return folder / "bin" / "python", None
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if not uv:
        raise SystemExit("other versions of Python and the lowest of packages need uv: pip install uv")
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
    assert "hd95.pooled" in called(medbench, "metrics", "--json", cwd=cwd)
    called(medbench, "data", "sample", "hc18", "-o", cwd / "hc18", cwd=cwd)
    masks = cwd / "masks"
    masks.mkdir(exist_ok=True)
    called(python, "-c", MASK, masks / "a.png", cwd=cwd)
    scores = called(medbench, "evaluate", "-r", masks, "-p", masks, "--metrics", "dice,hd95.pooled",
                    "--spacing", "pixel", "--json", cwd=cwd)  # fmt: skip
    assert json.loads(scores), scores
    (cwd / "broken").mkdir(exist_ok=True)
    (cwd / "broken" / "012_2HC.png").write_bytes(b"no image")
    called(medbench, "evaluate", "-c", "hc18", "--data", cwd / "hc18", "--predictions", cwd / "broken",
           cwd=cwd, code=1)  # fmt: skip
    told = called(medbench, "run", "-m", "dssau_net", "-c", "iugc2024", cwd=cwd, code=2)
    assert "pip install 'medbench[models]'" in told, told


def size_of(folder):
    """Bytes of a folder's files."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def lane(name, archive, python, folder, *, extra="", lowest=False):
    """Install one archive into an environment of its own and try it."""
    place = folder / name
    place.mkdir()
    interpreter, uv = environment(place / "venv", python, lowest=lowest)
    options = ("--resolution", "lowest-direct") if lowest else ()
    before = size_of(place / "venv")
    install(interpreter, uv, f"{archive}{extra}", place, *options)
    if extra:
        called(interpreter.parent / "medbench", "run", "-m", "dssau_net", "-c", "iugc2024", cwd=place)
        print(f"passed  {name}: the README's command", flush=True)  # noqa: T201
        return
    light(interpreter, place)
    taken = size_of(place / "venv") - before
    assert lowest or taken <= MOST_BYTES, f"the light core takes {taken >> 20} MiB"
    print(f"passed  {name}: {taken >> 20} MiB", flush=True)  # noqa: T201


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=[OWN], help="Versions of Python.")
    parser.add_argument(
        "--all-extras", action="store_true", help="Also the extra all, with the README's command."
    )
    parser.add_argument("--lowest", action="store_true", help="Also the lowest versions that are declared.")
    parser.add_argument(
        "--only", nargs="+", default=LANES, choices=LANES, help="Lanes; all that are asked for."
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medbench-release-") as name:
        folder = Path(name)
        called(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        wheel, sdist = next(folder.glob("dist/*.whl")), next(folder.glob("dist/*.tar.gz"))
        for python in asked.python:
            lanes = {"wheel": (wheel, {}), "sdist": (sdist, {})}
            if asked.lowest and python == asked.python[0]:
                lanes["lowest"] = wheel, {"lowest": True}
            if asked.all_extras:
                lanes["all"] = wheel, {"extra": "[all]"}
            for name, (archive, options) in lanes.items():
                if name in asked.only:
                    lane(f"{name}-{python}", archive, python, folder, **options)


if __name__ == "__main__":
    main()
