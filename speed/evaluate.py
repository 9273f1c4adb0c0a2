"""``medbench evaluate`` on whole folders beside the plain recipe: CPU seconds of processes from their start.

    python speed/evaluate.py            print the tables
    python speed/evaluate.py --write    and write speed/evaluate.md

Processes take turns, one thread each; a ratio is the peer's CPU seconds over ours in one round, shown as the
median of the rounds with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from metrics_cases import frame_pairs
from metrics_timing import Ratio

HERE = Path(__file__).resolve()
METRICS = "dice,hd,hd95.pooled,assd.pooled"
MEDBENCH = [sys.executable, "-m", "medbench"]
FRAMES, DRAWN = 1000, 40
FOLDERS_GOAL, CASE_GOAL_MS = 1.3, 5.0


def environment(home: Path, threads: int = 1) -> dict[str, str]:
    """Everything that a measured process writes lies in ``home``."""
    places = {f"MEDBENCH_{name}": str(home / name.lower()) for name in ("CACHE", "RUNS", "LEADERBOARDS")}
    counts = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
    return {**os.environ, **counts, **places}


def spent(command: list[str], home: Path) -> tuple[float, float]:
    """CPU seconds and wall seconds of a process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=home, env=environment(home))
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def in_turns(commands: dict[str, list[str]], home: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of each command in each round."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            took[name].append(spent(command, home))
    return took


def write_frames(home: Path, count: int, suffix: str) -> None:
    """``count`` pairs of label maps, 256 × 256 with 2 labels, by SimpleITK or imageio."""
    import imageio.v3 as imageio
    import SimpleITK as sitk

    for folder, frames in zip(("references", "predictions"), frame_pairs(min(count, DRAWN)), strict=True):
        (home / folder).mkdir(parents=True)
        for number in range(count):
            path = home / folder / f"{number:04}{suffix}"
            frame = np.roll(frames[number % DRAWN], number // DRAWN, axis=1)
            if suffix == ".png":
                imageio.imwrite(path, frame)
            else:
                sitk.WriteImage(sitk.GetImageFromArray(frame), path)


def folder_commands(home: Path, suffix: str) -> dict[str, list[str]]:
    """Our command and both forms of the recipe on the same folders."""
    recipe = [sys.executable, str(HERE.with_name("plain_recipe.py"))]
    folders = [str(home / name) for name in ("references", "predictions")]
    spacing = ["--spacing", "pixel"] if suffix == ".png" else []
    own = [*MEDBENCH, "evaluate", "-r", folders[0], "-p", folders[1], "--metrics", METRICS, "--workers", "1"]
    return {
        "ours": own + spacing,
        "cKDTree": [*recipe, *folders],
        "pykdtree": [*recipe, *folders, "--tree", "pykdtree"],
    }


def folders(suffix: str, count: int, rounds: int) -> tuple[dict[str, Ratio], dict[str, float]]:
    """Ratios of the recipes to ours, and median CPU seconds of each."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        write_frames(home, count, suffix)
        took = in_turns(folder_commands(home, suffix), home, rounds)
    cpu = {name: [seconds[0] for seconds in rows] for name, rows in took.items()}
    ratios = {name: Ratio.of(cpu[name], cpu["ours"]) for name in ("cKDTree", "pykdtree")}
    return ratios, {name: statistics.median(column) for name, column in cpu.items()}


def folders_on_two(suffix: str, count: int, rounds: int) -> dict[str, Ratio]:
    """Ratios of wall seconds on two cores: two workers of ours, two processes of the recipe on half each."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        write_frames(home, count, suffix)
        halves = [home / name for name in ("even", "odd")]
        for name in ("references", "predictions"):
            for number, path in enumerate(sorted((home / name).iterdir())):
                half = halves[number % 2] / name
                half.mkdir(parents=True, exist_ok=True)
                os.link(path, half / path.name)
        own = folder_commands(home, suffix)["ours"]
        own[own.index("--workers") + 1] = "2"
        commands = {"ours": [own]}
        for name in ("cKDTree", "pykdtree"):
            commands[name] = [folder_commands(half, suffix)[name] for half in halves]
        wall: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, both in commands.items():
                wall[name].append(wall_s(both, home))
    return {name: Ratio.of(wall[name], wall["ours"]) for name in ("cKDTree", "pykdtree")}


def wall_s(commands: list[list[str]], home: Path) -> float:
    """Wall seconds of processes that run at once."""
    began = time.perf_counter()
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=home, env=environment(home))
        for command in commands
    ]
    if any([process.wait() for process in running]):
        raise SystemExit(f"{commands[0][0]} failed.")
    return time.perf_counter() - began


def write_psfhs(home: Path, counts: tuple[int, int]) -> None:
    """Two releases of PSFHS of this many frames each, uncompressed as the organisers', and predictions."""
    import SimpleITK as sitk

    references, predictions = frame_pairs(DRAWN)
    for count in counts:
        root = home / str(count)
        for folder in ("image_mha", "label_mha", "predictions"):
            (root / folder).mkdir(parents=True)
        for number in range(count):
            at, name = number % DRAWN, f"{number + 1:05}.mha"
            arrays = (references[at] * 80, references[at], predictions[at])
            for folder, array in zip(("image_mha", "label_mha", "predictions"), arrays, strict=True):
                array = np.roll(array, number // DRAWN, axis=1)
                array = np.repeat(array[None], 3, axis=0) if folder == "image_mha" else array
                sitk.WriteImage(sitk.GetImageFromArray(array), root / folder / name)


def psfhs_case_ms(rounds: int, counts: tuple[int, int] = (20, 420)) -> tuple[float, float, float]:
    """CPU milliseconds that a further case of ``evaluate -c psfhs`` takes: median, least and largest."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        write_psfhs(home, counts)
        commands = {
            str(count): [
                *MEDBENCH, "evaluate", "-c", "psfhs", "--data", str(home / str(count)), "--split", "all",
                "--predictions", str(home / str(count) / "predictions"), "--workers", "1",
            ]
            for count in counts
        }  # fmt: skip
        took = in_turns(commands, home, rounds)
    few, many = ([seconds[0] for seconds in took[str(count)]] for count in counts)
    each = [1000 * (b - a) / (counts[1] - counts[0]) for a, b in zip(few, many, strict=True)]
    return statistics.median(each), min(each), max(each)


def report(count: int, rounds: int) -> str:
    """The page."""
    lines = [
        "# `medbench evaluate` beside the plain recipe",
        "",
        "Written by `python speed/evaluate.py --write`. CPU seconds of whole processes, start-up included, "
        f"one thread each, in turns in one run of {rounds} rounds. A ratio is the recipe's seconds over ours "
        "in the same round: the median, and in brackets the least and the largest. The recipe is "
        "speed/plain_recipe.py: SimpleITK or imageio, a crop, KD-trees. On two cores wall seconds are "
        "compared, two workers of ours with two processes of the recipe, each on half of the files.",
        "",
        f"## `evaluate -r R -p P --metrics {METRICS}`: {count:,} frames of 256 × 256, 2 labels",
        "",
        "| files | ours, CPU s | recipe, cKDTree | recipe, pykdtree | ÷ cKDTree | ÷ pykdtree | goal "
        "| wall on two ÷ cKDTree | ÷ pykdtree |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for suffix in (".mha", ".png"):
        ratios, cpu = folders(suffix, count, rounds)
        walls = folders_on_two(suffix, count, rounds)
        verdict = "met" if min(ratio.median for ratio in ratios.values()) >= FOLDERS_GOAL else "missed"
        lines.append(
            f"| {suffix} | {cpu['ours']:.2f} | {cpu['cKDTree']:.2f} | {cpu['pykdtree']:.2f} | "
            f"{ratios['cKDTree']} | {ratios['pykdtree']} | ≥ {FOLDERS_GOAL}: {verdict} | "
            f"{walls['cKDTree']} | {walls['pykdtree']} |"
        )
    median, least, largest = psfhs_case_ms(rounds)
    verdict = "met" if median <= CASE_GOAL_MS else "missed"
    lines += [
        "",
        "## `evaluate -c psfhs`",
        "",
        f"A case beyond start-up: **{median:.2f} ms** CPU ({least:.2f}–{largest:.2f}); goal ≤ "
        f"{CASE_GOAL_MS:g} ms: {verdict}. It is the difference between 420 and 20 cases, over 400: reading, "
        "every check of the gate, hashing, ten columns, intervals, record and pages.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write speed/evaluate.md")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    text = report(options.frames, options.rounds)
    print(text)
    if options.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
