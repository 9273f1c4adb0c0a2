"""How evaluation grows with workers, what the scheduler costs a case, and how aggregation grows with cases.

python speed/scaling.py --write      # also writes speed/scaling.md

Evaluation is the very code of ``medbench evaluate --references``: label maps of volumes and of images, read
by the gate and scored by Dice, HD95 and ASSD. One and two workers are measured in turn, several times, and
each turn is a ratio of its own, so that what others do on the machine meets both alike. The bar is on wall
time: two workers are at least 1.8 times as fast. It is judged only where the machine's other work (from
/proc/stat) took less than a twentieth of its cores in every turn. Where it took more, the page says that the
bar was not judged, and gives what CPU time alone can show: whether two workers do the same work as one, and
how many cores they kept busy.
"""

import argparse
import contextlib
import math
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes are forked after an evaluation in this one

import cv2
import numpy as np
import psutil
import SimpleITK

from medbench.core.result_table import CaseRow, mean_statistic, ratio_column
from medbench.core.score import Score
from medbench.leaderboards.rank import RESAMPLES
from medbench.running.call_engine import spread
from medbench.running.folders import evaluate_folders
from medbench.statistics.intervals import aggregate
from medbench.statistics.stability import resampled_groups

METRICS = ("dice", "hd95.pooled", "assd.pooled")
BAR, MOST_OVERHEAD_MS, MOST_OTHERS = 1.8, 10.0, 0.05
VERDICTS = {
    True: "Every bar is met.",
    False: "A bar is missed.",
    None: "The machine was not idle, so the bar was not judged: run the script again on an idle one.",
}
FIELDS = ("wall_s", "cpu_s", "busy")
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


@dataclass(frozen=True)
class Measured:
    """What a call took.

    Attributes:
        wall_s: wall time.
        cpu_s: CPU time of this process.
        others: cores that other processes kept busy meanwhile; ``None`` where nobody counts them.
    """

    wall_s: float
    cpu_s: float
    others: float | None = None

    @property
    def busy(self):
        """Cores that this process kept busy."""
        return self.cpu_s / self.wall_s

    @property
    def is_idle(self):
        """Whether other processes took so little that wall time says something."""
        return self.others is not None and self.others < MOST_OTHERS * os.cpu_count()


def busy_seconds():
    """CPU seconds of all processes since the start of the machine, with those that a host took away."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/stat") as stream:
        fields = [int(field) for field in stream.readline().split()[1:]]
        user, nice, system, _, _, irq, softirq, steal = fields[:8]
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return None


def own_seconds():
    """CPU seconds of this process and of all that it started, whether they still live or not."""
    times = [psutil.Process().cpu_times()]
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times.append(child.cpu_times())
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def timed(call):
    """What a call takes; of processes that it starts, what they took when it ends."""
    before, wall, cpu = busy_seconds(), time.perf_counter(), own_seconds()
    call()
    wall_s, cpu_s, after = time.perf_counter() - wall, own_seconds() - cpu, busy_seconds()
    others = None if before is None or after is None else max(0.0, (after - before - cpu_s) / wall_s)
    return Measured(wall_s, cpu_s, others)


def evaluate(folder, workers, spacing):
    """Score a folder of pairs."""
    from medbench.running.executors import joining_processes

    with contextlib.nullcontext(1) if workers == 1 else joining_processes(workers) as own:
        evaluate_folders(
            folder / "references", folder / "predictions", list(METRICS), workers=own, spacing=spacing
        )


def worker_rows(sets, turns):
    """Lines of the table of workers, and whether every ratio of wall times is above the bar.

    The verdict is ``None`` where the machine was not idle enough to judge.
    """
    lines, verdict = [], True
    for name, folder, number, spacing in sets:
        evaluate(folder, 1, spacing)
        pairs = []
        for turn in range(turns):
            order = (1, 2) if turn % 2 == 0 else (2, 1)
            by_workers = {
                workers: timed(lambda workers=workers: evaluate(folder, workers, spacing))  # noqa: B023
                for workers in order
            }
            pairs.append((by_workers[1], by_workers[2]))
        ratio = statistics.median(one.wall_s / two.wall_s for one, two in pairs)
        others = [each.others for pair in pairs for each in pair]
        idle = all(each.is_idle for pair in pairs for each in pair)
        judged = ("met" if ratio >= BAR else "missed") if idle else "not judged"
        verdict = None if verdict is None or not idle else verdict and ratio >= BAR
        one, two = (
            [statistics.median(getattr(pair[place], field) for pair in pairs) for field in FIELDS]
            for place in (0, 1)
        )
        known = [other for other in others if other is not None]
        busy_others = f"{max(known):.2f}" if known else "unknown"
        lines.append(
            f"| {name} | {number:,} | {one[0]:.1f} | {two[0]:.1f} | {ratio:.2f} | {judged} | {one[1]:.1f} | "
            f"{two[1]:.1f} | {one[2]:.2f} | {two[2]:.2f} | {busy_others} |"
        )
    return lines, verdict


def nothing(number):
    """A call that costs nothing, so that its time is the scheduler's."""
    return number


def overhead_ms(executor, calls):
    """Wall and CPU milliseconds that the engine and an executor take for a call; whether others were idle."""
    took = timed(lambda: sum(1 for _ in spread(nothing, range(calls), executor)))
    return took.wall_s / calls * 1e3, took.cpu_s / calls * 1e3, took.is_idle


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
    wall, cpu, is_idle = figures
    verdict = "met" if wall < MOST_OVERHEAD_MS else "missed" if is_idle else "not judged"
    return f"| {name} | {wall:.3f} | {cpu:.3f} | {verdict} |"


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
    return cpu_seconds(lambda: aggregate(lambda spec, own: mean_statistic(spec, own), column, rows, 0))


def cpu_seconds(call):
    """CPU seconds that a call takes in this process."""
    before = time.process_time()
    call()
    return time.process_time() - before


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

    return cpu_seconds(rank)


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
    parser.add_argument("--turns", type=int, default=3)
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
        workers, verdict = worker_rows(sets, arguments.turns)
    text = "\n".join(
        [
            "# Scaling",
            "",
            f"Written by `python speed/scaling.py --write`: {platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}, load average {load:.1f} at the start and "
            f"{os.getloadavg()[0]:.1f} after the evaluations. One and two workers in turn, {arguments.turns} "
            f"times; medians. The bar is {BAR} × wall time, judged only where other processes kept fewer "
            f"than {MOST_OTHERS:.0%} of the cores busy in every turn. {VERDICTS[verdict]}",
            "",
            "| evaluation of | cases | 1 worker, wall s | 2 workers, wall s | wall ratio | bar "
            "| 1: CPU s | 2: CPU s | 1: cores busy | 2: cores busy | most cores busy by others |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
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
    if verdict is False:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
