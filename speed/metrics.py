"""Metrics against the libraries that people use, on the same masks in the same run.

    python speed/metrics.py            print the tables
    python speed/metrics.py --write    and write speed/metrics.md
    python speed/metrics.py --quick    without the cases on which medpy needs minutes

Every case is measured in two fresh processes: CPU seconds where the libraries take one thread, wall seconds
where they take two. The tools take turns. Every peer gets the arrays in the form that it likes best. Extra
memory is the peak resident set of a fresh process above what it holds once the masks are there. A row also
says by how much the peer's value differs from ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medbench.core.machine import processor_name
from metrics_cases import CASES, frame_pairs, worst_pairs
from metrics_labels import DICE_CASES, dice_rows, label_cases, label_rows
from metrics_peers import PEERS, TOOLS, UNIT, medpy, one_transform, ours, plain_pykdtree, plain_scipy
from metrics_tables import (
    Rows,
    dice_table,
    frame_table,
    instance_lines,
    label_table,
    surface_table,
    worst_table,
)
from metrics_timing import in_process, interleaved, peak_resident, timed

HERE = Path(__file__).resolve()
THREE = ("hd", "hd95.pooled", "assd.pooled")
FRAMES, INSTANCE_ROUNDS = 8, 3
SLOW = ("liver", "gall_bladder")
"""Cases on which medpy needs up to a minute: it runs once, and only for the CPU seconds."""


def prepared(case: str, tool: str) -> tuple[Any, Any, tuple[float, ...]]:
    _, spacing, make = CASES[case]
    kind = TOOLS[tool][1]
    reference, prediction = make()
    if kind is np.bool_:
        return reference.view(np.bool_), prediction.view(np.bool_), spacing
    return reference.astype(kind), prediction.astype(kind), spacing


def memory_rows(case: str, tool: str) -> int:
    """Extra peak memory of the three distances in this process."""
    reference, prediction, spacing = prepared(case, tool)
    small = tuple(slice(0, 12) for _ in spacing)
    tiny = np.zeros([12] * len(spacing), reference.dtype)
    tiny[tuple(slice(3, 8) for _ in spacing)] = 1
    TOOLS[tool][0](THREE, tiny, np.roll(tiny, 1, 0)[small], spacing)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_resident()
    TOOLS[tool][0](THREE, reference, prediction, spacing)
    return peak_resident() - before


def surface_rows(case: str, medpy_runs: str) -> Rows:
    """One pair of masks: all peers, three metrics and HD95 alone."""
    arrays = {tool: prepared(case, tool) for tool in PEERS}
    calls = {
        f"{tool}, HD + HD95 + ASSD": (lambda tool=tool: TOOLS[tool][0](THREE, *arrays[tool]))
        for tool in arrays
    }
    calls |= {
        f"{tool}, HD95 alone": (lambda tool=tool: TOOLS[tool][0](("hd95.pooled",), *arrays[tool]))
        for tool in ("ours", "medpy", "monai")
    }
    runs = dict.fromkeys(calls, 7)
    for name in calls:
        if "medpy" in name:
            runs[name] = int(medpy_runs)
        elif "monai" in name:
            runs[name] = 3
    calls = {name: call for name, call in calls.items() if runs[name]}
    rows = interleaved(calls, runs)
    exact = ours(
        ("hd", "hd95.pooled", "hd95.max", "hd95.area", "assd.pooled", "assd.area", "hd.area"), *arrays["ours"]
    )
    for row in rows.values():
        row["difference"] = max(abs(value - exact[id]) for id, value in row.pop("values").items())
    return rows


def surfaces(case: str, quick: bool) -> list[str]:
    title, _, make = CASES[case]
    slow = case in SLOW
    one = in_process(HERE, ["--rows", "surface", case, "0" if quick and slow else "1" if slow else "3"], 1)
    two = in_process(HERE, ["--rows", "surface", case, "0" if slow else "3"], 2)
    memory = {
        f"{tool}, HD + HD95 + ASSD": in_process(HERE, ["--rows", "memory", case, tool], 1)
        for tool in PEERS
        if f"{tool}, HD + HD95 + ASSD" in one
    }
    reference, prediction = (mask.astype(bool) for mask in make())
    dice = 2 * np.count_nonzero(reference & prediction) / (reference.sum() + prediction.sum())
    return surface_table(title, float(dice), one, two, memory)


def score_frames(n: int, repeats: int) -> None:
    """Print wall and CPU seconds for ``n * repeats`` frames, started when every process is ready."""
    from medbench.metrics.official.intrapartum import segmentation_scores

    references, predictions = frame_pairs(n)
    for pair in zip(references, predictions, strict=True):
        segmentation_scores(*pair)
    print("ready", flush=True)
    sys.stdin.readline()
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        for pair in zip(references, predictions, strict=True):
            segmentation_scores(*pair)
    print(time.perf_counter() - start, time.process_time() - cpu, flush=True)


def frames(processes: int, n: int = 40, repeats: int = 50) -> tuple[float, float]:
    """Frames a second of several processes, by the wall clock of the slowest and by their CPU time."""
    command = [sys.executable, str(HERE), "--score-frames", str(n), str(repeats)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(processes)
    ]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    took = [[float(number) for number in child.stdout.readline().split()] for child in children]
    for child in children:
        child.wait()
    return processes * n * repeats / max(t[0] for t in took), sum(n * repeats / t[1] for t in took)


def frame_rows() -> Rows:
    """Nine numbers of one frame by SimpleITK calls, as the organisers compute them, and by ours."""
    import SimpleITK as sitk

    from medbench.metrics.official.intrapartum import segmentation_scores

    references, predictions = frame_pairs(FRAMES)

    def official() -> None:
        for reference, prediction in zip(references, predictions, strict=True):
            for label in (1, 2, 0):
                pair = [
                    sitk.GetImageFromArray((a == label if label else a > 0).astype(np.uint8))
                    for a in (prediction, reference)
                ]
                sitk.LabelOverlapMeasuresImageFilter().Execute(*pair)
                sitk.HausdorffDistanceImageFilter().Execute(*pair)
                signed = [sitk.SignedMaurerDistanceMap(image, squaredDistance=False) for image in pair]
                maps = [sitk.GetArrayFromImage(sitk.Abs(distance)) for distance in signed]
                _ = maps[0][maps[1] == 0].sum() + maps[1][maps[0] == 0].sum()

    def this() -> None:
        for pair in zip(references, predictions, strict=True):
            segmentation_scores(*pair)

    rows = interleaved({"ours": this, "SimpleITK": official}, {"ours": 15, "SimpleITK": 15})
    return {name: row | {"values": None} for name, row in rows.items()}


def instance_rows() -> dict[str, Any]:
    """Instance F1 of two 20,000 x 20,000 masks with about 1,000 objects each."""
    from medbench.metrics.masks.instances import detect

    side, rng = 20000, np.random.default_rng(0)
    reference, prediction = np.zeros((2, side, side), np.bool_)
    y, x = np.ogrid[-200:201, -200:201]
    for _ in range(1020):
        row, column = rng.integers(215, side - 216, 2)
        disk = y**2 + x**2 < rng.integers(80, 200) ** 2
        reference[row - 200 : row + 201, column - 200 : column + 201] |= disk
        down, right = rng.integers(-10, 11, 2)
        prediction[row + down - 200 : row + down + 201, column + right - 200 : column + right + 201] |= disk
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_resident()
    rounds = [timed(lambda: detect(reference, prediction)) for _ in range(INSTANCE_ROUNDS)]
    wall, cpu, (found, *_) = zip(*rounds, strict=True)
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "memory": peak_resident() - before,
        "f1": found.f1,
        "n": found.n_reference,
    }


def worst_rows(name: str, medpy_runs: str) -> Rows:
    """Large, ragged or far surfaces, beside one distance transform of the crop."""
    reference, prediction = worst_pairs()[name]
    calls = {
        "ours": lambda: ours(THREE, reference.view(np.uint8), prediction.view(np.uint8), UNIT),
        "plain cKDTree": lambda: plain_scipy(THREE, reference, prediction, UNIT),
        "plain pykdtree": lambda: plain_pykdtree(THREE, reference, prediction, UNIT),
        "one transform": lambda: one_transform((), reference, prediction, UNIT),
        "medpy": lambda: medpy(THREE, reference, prediction, UNIT),
    }
    rows = interleaved(calls, dict.fromkeys(calls, 5) | {"medpy": int(medpy_runs)})
    values = {tool: row.pop("values") for tool, row in rows.items()}
    rows["medpy"]["difference"] = max(abs(values["medpy"][id] - values["ours"][id]) for id in THREE)
    return rows


MEASUREMENTS: dict[str, Callable[..., Any]] = {
    "surface": surface_rows,
    "memory": memory_rows,
    "labels": label_rows,
    "dice": dice_rows,
    "frames": frame_rows,
    "instances": instance_rows,
    "worst": worst_rows,
}
"""What a process of its own measures and prints as JSON."""


def both(what: str, *words: str) -> tuple[Rows, Rows]:
    """The same measurement where the libraries take one thread, and where they take two."""
    one, two = (in_process(HERE, ["--rows", what, *words], threads) for threads in (1, 2))
    return one, two


def heading() -> str:
    return (
        "# Metrics: time and memory\n\n"
        "Written by `python speed/metrics.py --write`. Every case runs in a process whose libraries take "
        "one thread, of which the CPU seconds are shown, and in one whose libraries take two, of which the "
        "wall seconds are. Seconds are medians; ÷ is the tool's seconds over ours in the same round, tools "
        'taking turns: the median, in brackets the least and the largest. "Difference" is the largest '
        "deviation of a tool's values from ours under the same definition. Masks are synthetic. medpy ran "
        "once, and for the CPU seconds alone, where a run takes up to a minute. The plain recipe is "
        "speed/plain_recipe.py: crop, "
        f"surfaces, one KD-tree a side. {processor_name()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, NumPy {np.__version__}, load average before it began "
        f"{os.getloadavg()[0]:.1f}.\n"
    )


def sections(quick: bool) -> dict[str, Callable[[], list[str]]]:
    """Name -> what measures that part and returns its lines; the first is the heading."""
    parts: dict[str, Callable[[], list[str]]] = {
        case: (lambda case=case: surfaces(case, quick)) for case in CASES
    }
    cases = label_cases()
    parts["labels"] = lambda: label_table(
        {name: both("labels", name) for name in cases}, {name: case[3] for name, case in cases.items()}
    )
    parts["dice"] = lambda: dice_table({name: both("dice", name) for name in DICE_CASES})
    parts["frames"] = lambda: frame_table(*both("frames"), {n: frames(n) for n in (1, 2)}, FRAMES)
    parts["instances"] = lambda: instance_lines(in_process(HERE, ["--rows", "instances"], 1))
    parts["worst"] = lambda: worst_table({name: both("worst", name, "3") for name in worst_pairs()})
    return parts


def report(quick: bool, only: str | None) -> str:
    """The whole report, or the last one with one part measured anew, or added."""
    parts = sections(quick)
    if only is None:
        return heading() + "".join("\n" + "\n".join(part()) + "\n" for part in parts.values())
    lines = parts[only]()
    blocks = HERE.with_suffix(".md").read_text(encoding="utf-8").split("\n## ")
    fresh = ("\n".join(lines) + "\n").removeprefix("## ")
    titles = [block.split("\n")[0] for block in blocks]
    if fresh.split("\n")[0] in titles:
        blocks[titles.index(fresh.split("\n")[0])] = fresh
    else:
        blocks.append(fresh)
    return "\n## ".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write speed/metrics.md")
    parser.add_argument("--quick", action="store_true", help="leave out the slow runs of medpy")
    parser.add_argument("--only", choices=list(sections(quick=True)), help="measure one part anew")
    parser.add_argument("--rows", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--score-frames", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.rows:
        what, *words = options.rows
        print(json.dumps(MEASUREMENTS[what](*words)))
    elif options.score_frames:
        score_frames(*options.score_frames)
    else:
        text = report(options.quick, options.only)
        print(text)
        if options.write:
            HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
