"""How evaluation grows with workers, what the scheduler costs a case, and how aggregation grows with cases.

python speed/scaling.py --write      # also writes speed/scaling.md

Evaluation is the very code of ``medbench evaluate --references``: label maps of volumes and of images, read
by the gate and scored by Dice, HD95 and ASSD. On an idle machine two workers take at most 1 / 1.8 of one
worker's wall time. On a machine that others use, wall time says little: there the cores that the process
keeps busy (CPU seconds a wall second) with two workers over those with one are the evidence, with the load.
"""

import argparse
import math
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import SimpleITK

from medbench.core.result_table import CaseRow, mean_statistic, ratio_column
from medbench.core.score import Score
from medbench.leaderboards.rank import RESAMPLES
from medbench.running.call_engine import spread
from medbench.running.folders import evaluate_folders
from medbench.statistics.intervals import aggregate
from medbench.statistics.stability import resampled_groups

METRICS = ("dice", "hd95.pooled", "assd.pooled")
BAR, MOST_OVERHEAD_MS = 1.8, 10.0
DRAWN = 10


def ball(shape, seed):
    """A label map with one ellipsoid whose place depends on the seed."""
    generator = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    middle = [size * generator.uniform(0.4, 0.6) for size in shape]
    distance = sum(
        ((axis - at) / (size * 0.3)) ** 2 for axis, at, size in zip(axes, middle, shape, strict=True)
    )
    return (distance < 1).astype(np.uint8)


def write_pairs(folder, number, shape, suffix):
    """References and predictions, each drawn a few times and copied."""
    for role, offset in (("references", 0), ("predictions", 100)):
        (folder / role).mkdir(parents=True)
        for index in range(number):
            path = folder / role / f"case{index:04d}{suffix}"
            if index >= DRAWN:
                path.write_bytes((folder / role / f"case{index % DRAWN:04d}{suffix}").read_bytes())
            elif suffix == ".png":
                cv2.imwrite(str(path), ball(shape, index + offset) * 255)
            else:
                image = SimpleITK.GetImageFromArray(ball(shape, index + offset))
                image.SetSpacing((0.8, 0.8, 2.5))
                SimpleITK.WriteImage(image, str(path), True)
    return folder


def timed(call):
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def evaluate(folder, workers, spacing):
    """Score a folder of pairs."""
    evaluate_folders(
        folder / "references", folder / "predictions", list(METRICS), workers=workers, spacing=spacing
    )


def worker_rows(sets):
    """Lines of the table of workers."""
    lines = []
    for name, folder, number, spacing in sets:
        evaluate(folder, 1, spacing)
        (wall_1, cpu_1), (wall_2, cpu_2) = (
            timed(lambda workers=workers: evaluate(folder, workers, spacing))  # noqa: B023
            for workers in (1, 2)
        )
        busy_1, busy_2 = cpu_1 / wall_1, cpu_2 / wall_2
        lines.append(
            f"| {name} | {number:,} | {wall_1:.1f} | {wall_2:.1f} | {wall_1 / wall_2:.2f} | {cpu_1:.1f} | "
            f"{cpu_2:.1f} | {busy_1:.2f} | {busy_2:.2f} | {busy_2 / busy_1 * cpu_1 / cpu_2:.2f} |"
        )
    return lines


def nothing(number):
    """A call that costs nothing, so that its time is the scheduler's."""
    return number


def overhead_ms(executor, calls):
    """Wall and CPU milliseconds that the engine and an executor take for a call."""
    wall, cpu = timed(lambda: sum(1 for _ in spread(nothing, range(calls), executor)))
    return wall / calls * 1e3, cpu / calls * 1e3


def overhead_rows():
    """Lines of the table of schedulers."""
    lines = []
    with ThreadPoolExecutor(2) as pool:
        lines.append(_overhead("2 threads", overhead_ms(pool, 5000)))
    from medbench.running.executors import dask_cluster, local_processes

    with local_processes(2, "cpu") as pool:
        overhead_ms(pool, 4)
        lines.append(_overhead("2 spawned processes", overhead_ms(pool, 500)))
    try:
        from distributed import LocalCluster
    except ImportError:
        return [*lines, "| dask: `distributed` is not installed | – | – | – |"]
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(**options) as cluster, dask_cluster(cluster.scheduler_address) as pool:
        overhead_ms(pool, 4)
        lines.append(_overhead("dask, 2 worker processes", overhead_ms(pool, 500)))
    return lines


def _overhead(name, figures):
    wall, cpu = figures
    return f"| {name} | {wall:.3f} | {cpu:.3f} | {'met' if wall < MOST_OVERHEAD_MS else 'missed'} |"


def rows_of(number):
    """Rows of cases in groups of four."""
    values = np.random.default_rng(0).uniform(size=number)
    return [
        CaseRow(f"c{place}", f"g{place // 4}", "ok", {"dice": Score(float(value))}, {})
        for place, value in enumerate(values)
    ]


def aggregate_seconds(number):
    """CPU seconds of one column's mean and interval over so many cases."""
    rows, column = rows_of(number), ratio_column("dice", "Dice", "dice")
    return timed(lambda: aggregate(lambda spec, own: mean_statistic(spec, own), column, rows, 0))[1]


def rank_seconds(entries):
    """CPU seconds of ranking so many rows of a board on 200 cases, with all resamples."""
    from medbench.statistics.schemes import Column, aggregate_then_rank

    values = np.random.default_rng(1).uniform(size=(entries, 200))
    owner = np.arange(200)

    def rank():
        weights = np.concatenate([np.ones((1, 200)), resampled_groups(200, RESAMPLES, 0)])
        column = Column(
            "dice", values, owner, lambda w: w @ values.T / w.sum(axis=1, keepdims=True),
            np.zeros(values.shape, bool), np.empty(0, np.int64), 0.0,
        )  # fmt: skip
        aggregate_then_rank(column, weights)

    return timed(rank)[1]


def growth_rows():
    """Lines of the table of growth."""
    lines = []
    for name, measure, sizes in (
        ("mean and 95 % interval of a column, cases", aggregate_seconds, (1250, 2500, 5000)),
        (f"ranks with {RESAMPLES} resamples, rows of a board", rank_seconds, (50, 100, 200)),
    ):
        measure(sizes[0])
        seconds = [min(measure(size) for _ in range(3)) for size in sizes]
        exponent = math.log(max(seconds[-1], 1e-6) / max(seconds[0], 1e-6)) / math.log(sizes[-1] / sizes[0])
        times = " | ".join(f"{size:,}: {took:.3f} s" for size, took in zip(sizes, seconds, strict=True))
        lines.append(f"| {name} | {times} | {exponent:.2f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=200)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sets = [
            (
                ".nii.gz label maps 64 × 192 × 192",
                write_pairs(folder / "volumes", arguments.volumes, (64, 192, 192), ".nii.gz"),
                arguments.volumes,
                None,
            ),
            (
                "PNG masks 384 × 384",
                write_pairs(folder / "images", arguments.images, (384, 384), ".png"),
                arguments.images,
                "pixel",
            ),
        ]
        workers = worker_rows(sets)
    text = "\n".join(
        [
            "# Scaling",
            "",
            f"Written by `python speed/scaling.py --write`: {platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, load average {load:.1f} at the start and "
            f"{os.getloadavg()[0]:.1f} after the evaluations. The bar is {BAR} × wall time on an idle "
            "machine. Where the load is not near 0, wall time is that of a shared machine, and the last "
            "column is no proof of the bar: it is how many more cores two workers kept busy, corrected for "
            "the work they did more.",
            "",
            "| evaluation of | cases | 1 worker, wall s | 2 workers, wall s | wall ratio "
            "| 1: CPU s | 2: CPU s | 1: cores busy | 2: cores busy | more work a second |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *workers,
            "",
            f"What the engine and its executor take for a call that does nothing; the bar is "
            f"{MOST_OVERHEAD_MS:g} ms.",
            "",
            "| executor | wall, ms a call | CPU of this process, ms a call | bar |",
            "|---|---|---|---|",
            *overhead_rows(),
            "",
            "CPU seconds of aggregation; the exponent is of the time's growth with the size, 1 for linear.",
            "",
            "| what | small | middle | large | exponent |",
            "|---|---|---|---|---|",
            *growth_rows(),
        ]
    )
    print(text)
    if arguments.write:
        Path(__file__).with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
