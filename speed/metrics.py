"""Metrics against the libraries that people use, on the same masks in the same run.

    python speed/metrics.py            print the tables
    python speed/metrics.py --write    and write speed/metrics.md
    python speed/metrics.py --quick    without the cases on which medpy needs minutes

Medians of interleaved runs, CPU seconds (process_time) beside wall seconds. Every peer gets the arrays in the
form that it likes best. Extra memory is the peak resident set of a fresh process above what it holds once the
masks are there. A row also says by how much the peer's value differs from ours.
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

from metrics_cases import CASES, frame_pairs, worst_pairs
from metrics_labels import label_lines
from metrics_tables import DISTANCES as THREE
from metrics_tables import frame_table, instance_lines, surface_table, worst_table
from metrics_timing import interleaved, peak_resident, timed
from plain_recipe import compare

HERE = Path(__file__).resolve()
UNIT = (1.0, 1.0, 1.0)
Values = dict[str, float]


def ours(ids, reference, prediction, spacing) -> Values:
    from medbench.metrics import evaluate_arrays

    found = evaluate_arrays(reference, prediction, ids, [1], spacing)["1"]
    return {id: found[id].value for id in ids}


def medpy(ids, reference, prediction, spacing) -> Values:
    from medpy.metric import binary

    names = {"hd": binary.hd, "hd95.pooled": binary.hd95, "assd.pooled": binary.assd}
    return {id: float(names[id](prediction, reference, voxelspacing=spacing)) for id in ids}


def monai(ids, reference, prediction, spacing) -> Values:
    import torch
    from monai import metrics

    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    common: dict[str, Any] = {"include_background": True, "spacing": list(spacing)}
    found = {}
    if "hd" in ids:
        found["hd"] = float(metrics.compute_hausdorff_distance(*pair, **common))
    if "hd95.pooled" in ids:
        found["hd95.max"] = float(metrics.compute_hausdorff_distance(*pair, percentile=95, **common))
    if "assd.pooled" in ids:
        found["assd.pooled"] = float(
            metrics.compute_average_surface_distance(*pair, symmetric=True, **common)
        )
    return found


def surface_distance(ids, reference, prediction, spacing) -> Values:
    import surface_distance as library

    found = library.compute_surface_distances(reference, prediction, spacing)
    return {
        "hd.area": library.compute_robust_hausdorff(found, 100),
        "hd95.area": library.compute_robust_hausdorff(found, 95),
        "assd.area": float(np.mean(library.compute_average_surface_distance(found))),
    }


def plain_scipy(ids, reference, prediction, spacing) -> Values:
    from scipy.spatial import cKDTree

    return plain(cKDTree, ids, reference, prediction, spacing)


def plain_pykdtree(ids, reference, prediction, spacing) -> Values:
    from pykdtree.kdtree import KDTree

    return plain(KDTree, ids, reference, prediction, spacing)


def plain(tree, ids, reference, prediction, spacing) -> Values:
    from scipy import ndimage

    boxes = [ndimage.find_objects(mask.view(np.uint8))[0] for mask in (reference, prediction)]
    box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
    scores = compare(reference[box], prediction[box], spacing, tree)
    return {id: scores[id] for id in ids}


def one_transform(ids, reference, prediction, spacing) -> Values:
    """The yardstick of the worst cases: one distance transform of the crop."""
    from scipy import ndimage

    from medbench.metrics.arrays import bounding_box, union_box

    box = union_box(bounding_box(reference), bounding_box(prediction))
    ndimage.distance_transform_edt(~reference[box], sampling=spacing)
    return {}


TOOLS: dict[str, tuple[str, Callable[..., Values], Any]] = {
    "ours": ("medbench", ours, np.uint8),
    "plain cKDTree": ("plain recipe, cKDTree", plain_scipy, np.bool_),
    "plain pykdtree": ("plain recipe, pykdtree", plain_pykdtree, np.bool_),
    "medpy": ("medpy", medpy, np.bool_),
    "monai": ("MONAI", monai, np.float32),
    "surface-distance": ("surface-distance", surface_distance, np.bool_),
    "one transform": ("one scipy transform of the crop", one_transform, np.bool_),
}


PEERS = ("ours", "plain cKDTree", "plain pykdtree", "medpy", "monai", "surface-distance")


def prepared(case: str, tool: str) -> tuple[Any, Any, tuple[float, ...]]:
    _, spacing, make = CASES[case]
    kind = TOOLS[tool][2]
    reference, prediction = make()
    if kind is np.bool_:
        return reference.view(np.bool_), prediction.view(np.bool_), spacing
    return reference.astype(kind), prediction.astype(kind), spacing


def memory_child(case: str, tool: str) -> None:
    """Print the extra peak memory of the three distances, in a process of its own."""
    reference, prediction, spacing = prepared(case, tool)
    small = tuple(slice(0, 12) for _ in spacing)
    tiny = np.zeros([12] * len(spacing), reference.dtype)
    tiny[tuple(slice(3, 8) for _ in spacing)] = 1
    TOOLS[tool][1](THREE, tiny, np.roll(tiny, 1, 0)[small], spacing)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_resident()
    TOOLS[tool][1](THREE, reference, prediction, spacing)
    print(peak_resident() - before)


def extra_memory(case: str, tool: str) -> int:
    command = [sys.executable, "-W", "ignore", str(HERE), "--memory-of", case, tool]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def surfaces(case: str, quick: bool) -> dict[str, Any]:
    """One pair of masks: all peers, three metrics and HD95 alone."""
    slow = case in ("liver", "gall_bladder")
    arrays = {tool: prepared(case, tool) for tool in PEERS}
    calls = {
        f"{tool}, HD + HD95 + ASSD": (lambda tool=tool: TOOLS[tool][1](THREE, *arrays[tool]))
        for tool in arrays
    }
    calls |= {
        f"{tool}, HD95 alone": (lambda tool=tool: TOOLS[tool][1](("hd95.pooled",), *arrays[tool]))
        for tool in ("ours", "medpy", "monai")
    }
    quick_ones = ("ours", "plain", "surface")
    repeats = {name: (7 if name.startswith(quick_ones) else 1 if slow else 3) for name in calls}
    if quick and slow:
        calls = {name: call for name, call in calls.items() if "medpy" not in name}
    found = interleaved(calls, {name: repeats[name] for name in calls})
    exact = ours(
        ("hd", "hd95.pooled", "hd95.max", "hd95.area", "assd.pooled", "assd.area", "hd.area"), *arrays["ours"]
    )
    memory = {tool: extra_memory(case, tool) for tool in arrays if not (quick and slow and tool == "medpy")}
    for name, row in found.items():
        differences = [abs(value - exact[id]) for id, value in row["values"].items()]
        row["largest difference"] = max(differences)
        row["memory"] = memory[name.split(",")[0]] if "HD + HD95" in name else None
    dice = (
        2
        * np.count_nonzero(arrays["medpy"][0] & arrays["medpy"][1])
        / sum(np.count_nonzero(mask) for mask in arrays["medpy"][:2])
    )
    return {"title": CASES[case][0], "dice": float(dice), "rows": found}


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


def frame_peer() -> dict[str, Any]:
    """Nine numbers of one frame by SimpleITK calls, as the organisers compute them, and by ours."""
    import SimpleITK as sitk

    from medbench.metrics.official.intrapartum import segmentation_scores

    references, predictions = frame_pairs(8)

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

    return interleaved({"ours": this, "SimpleITK": official}, {"ours": 25, "SimpleITK": 9})


def instances_child() -> None:
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
    wall, cpu, found = timed(lambda: detect(reference, prediction))
    facts = {
        "wall_s": wall,
        "cpu_s": cpu,
        "memory": peak_resident() - before,
        "f1": found.f1,
        "n": found.n_reference,
    }
    print(json.dumps(facts))


def instances() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE), "--instances"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def worst_cases() -> dict[str, dict[str, Any]]:
    """Large, ragged or far surfaces, beside one distance transform of the crop."""
    found = {}
    for name, (reference, prediction) in worst_pairs().items():
        calls = {
            "ours": lambda r=reference, p=prediction: ours(THREE, r.view(np.uint8), p.view(np.uint8), UNIT),
            "plain cKDTree": lambda r=reference, p=prediction: plain_scipy(THREE, r, p, UNIT),
            "plain pykdtree": lambda r=reference, p=prediction: plain_pykdtree(THREE, r, p, UNIT),
            "one transform": lambda r=reference, p=prediction: one_transform((), r, p, UNIT),
            "medpy": lambda r=reference, p=prediction: medpy(THREE, r, p, UNIT),
        }
        found[name] = interleaved(calls, {**dict.fromkeys(calls, 3), "medpy": 1})
    return found


def heading() -> str:
    return (
        "# Metrics: time and memory\n\n"
        "Written by `python speed/metrics.py --write`. Medians of interleaved runs on "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"NumPy {np.__version__}. CPU seconds are `process_time`: a tool that uses several threads is "
        'charged for all of them. "Difference" is the largest deviation of its values from ours under '
        "the same definition. Masks are synthetic. medpy ran once where a run takes minutes. "
        "The plain recipe is speed/plain_recipe.py: crop, surfaces, one KD-tree a side. "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}; load average before it began: "
        f"{os.getloadavg()[0]:.1f}.\n"
    )


def sections(quick: bool) -> dict[str, Callable[[], list[str]]]:
    """Name -> what measures that part and returns its lines; the first is the heading."""
    parts: dict[str, Callable[[], list[str]]] = {
        case: (lambda case=case: surface_table(surfaces(case, quick))) for case in CASES
    }
    parts["labels"] = label_lines
    parts["frames"] = lambda: frame_table(frame_peer(), {n: frames(n) for n in (1, 2)})
    parts["instances"] = lambda: instance_lines(instances())
    parts["worst"] = lambda: worst_table(worst_cases())
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
    parser.add_argument("--memory-of", nargs=2, metavar=("CASE", "TOOL"), help=argparse.SUPPRESS)
    parser.add_argument("--score-frames", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--instances", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.memory_of:
        memory_child(*options.memory_of)
    elif options.score_frames:
        score_frames(*options.score_frames)
    elif options.instances:
        instances_child()
    else:
        text = report(options.quick, options.only)
        print(text)
        if options.write:
            HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
