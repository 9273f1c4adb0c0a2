"""The goals of speed in one table, measured anew in a few minutes: goal, measured, verdict.

    make bench-quick
    python speed/quick.py --only networks

CPU seconds of one thread; ours and its peer take turns, and a ratio is the peer's seconds over ours in the
same round, shown as the median with the least and the largest. The peer of metrics is speed/plain_recipe.py,
that of networks a plain transcription of the authors' program (speed/models_plain_*.py). Where a goal is of
more work than fits here, the row says on how much it was measured; the pages beside this script have all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREAD_VARIABLES = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL")]
for variable in THREAD_VARIABLES:
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

from evaluate import (  # noqa: E402
    CASE_GOAL_MS,
    FOLDERS_GOAL,
    FRAMES,
    environment,
    folders,
    psfhs_case_ms,
)
from metrics_cases import SCAN_SPACING, frame_pairs, many_labels, scan_pairs  # noqa: E402
from metrics_labels import FOUR  # noqa: E402
from metrics_timing import Ratio  # noqa: E402
from plain_recipe import compare_labels  # noqa: E402

HERE = Path(__file__).resolve().parent
NETWORKS: tuple[tuple[str, str, int, int, float], ...] = (
    ("brau_net_pp", "forward", 1, 2, 1.4),
    ("dssau_net", "forward", 1, 3, 2.0),
    ("dssau_net", "forward", 4, 2, 2.2),
    ("dssau_net", "training step", 4, 1, 3.5),
    ("brau_net", "forward", 1, 2, 1.8),
    ("brau_net", "forward", 4, 1, 2.2),
    ("brau_net", "training step", 4, 1, 2.5),
    ("mslau_net", "training step", 4, 1, 1.25),
    ("medformer_classifier.tiny", "forward", 4, 2, 2.2),
    ("medformer_classifier.small", "forward", 4, 2, 2.2),
    ("medformer_classifier.base", "forward", 4, 2, 2.2),
)
"""Pair, work, batch, rounds, least ratio of CPU seconds."""
GLOBAL_SHARE, BOUND, DECODER_BOUND = 0.15, 64, 512
NO_GOAL = "as it is"
SLIDE_SIDE, SLIDE_GOAL = 12_288, 100.0
SHARE_GOAL = 0.65
RUN_SHARE_GOAL = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One goal: what it is of, what is demanded, what was measured, and whether that is enough."""

    work: str
    goal: str
    measured: str
    met: bool

    def __str__(self) -> str:
        verdict = "no goal" if self.goal == NO_GOAL else "met" if self.met else "**missed**"
        return f"| {self.work} | {self.goal} | {self.measured} | {verdict} |"


def at_least(work: str, goal: float, ratio: Ratio) -> Row:
    return Row(work, f"≥ {goal}", str(ratio), ratio.median >= goal)


def evaluation() -> Iterator[Row]:
    ratios, cpu = folders(".mha", FRAMES, 2)
    for peer, ratio in ratios.items():
        work = f"`evaluate -r -p`, {FRAMES:,} frames × 2 labels ({cpu['ours']:.2f} s), against {peer}"
        yield at_least(work, FOLDERS_GOAL, ratio)
    median, least, largest = psfhs_case_ms(2, (20, 220))
    yield Row(
        "`evaluate -c psfhs`, a case beyond start-up",
        f"≤ {CASE_GOAL_MS:g} ms",
        f"{median:.2f} ms ({least:.2f}–{largest:.2f})",
        median <= CASE_GOAL_MS,
    )


def turns(calls: dict[str, Callable[[], Any]], rounds: int, warm: bool = True) -> dict[str, list[float]]:
    """CPU seconds of each call in each round."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-warm, rounds):
        for name, call in calls.items():
            started = time.process_time()
            call()
            if turn >= 0:
                took[name].append(time.process_time() - started)
    return took


def label_maps(
    work: str, pairs: Any, spacing: tuple[float, ...], rounds: int, goals: dict[str, float]
) -> Iterator[Row]:
    from pykdtree.kdtree import KDTree
    from scipy.spatial import cKDTree

    from medbench.metrics import evaluate_arrays

    trees = {"cKDTree": cKDTree, "pykdtree": KDTree}
    calls: dict[str, Callable[[], Any]] = {
        name: lambda tree=trees[name]: [compare_labels(*pair, spacing, tree) for pair in pairs]
        for name in goals
    }
    calls["ours"] = lambda: [evaluate_arrays(*pair, FOUR, None, spacing) for pair in pairs]
    took = turns(calls, rounds, warm=rounds > 2)
    for peer, goal in goals.items():
        yield at_least(f"{work}, against {peer}", goal, Ratio.of(took[peer], took["ours"]))


def metrics() -> Iterator[Row]:
    frames = list(zip(*frame_pairs(12), strict=True))
    yield from label_maps("frames, 256 × 256", frames, (1.0, 1.0), 15, {"cKDTree": 1.2, "pykdtree": 1.0})
    for name, make in scan_pairs().items():
        if name != "liver":
            yield from label_maps(f"{name}, 200×512×512", [make()], SCAN_SPACING, 2, {"pykdtree": 1.0})
    yield from label_maps(
        "117 labels, 300×320×320", [many_labels()], (1.5,) * 3, 2, {"cKDTree": 1.3, "pykdtree": 1.3}
    )


def networks() -> Iterator[Row]:
    import torch

    from models import all_pairs, call_of

    torch.set_num_threads(1)
    pairs = all_pairs()
    for name, step, batch, rounds, goal in NETWORKS:
        torch.manual_seed(0)
        pair = pairs[name]
        ours, plain = (call_of(pair, model, step, batch) for model in pair.build())
        took = turns({"ours": ours, "plain": plain}, rounds, warm=step == "forward" and batch == 1)
        yield at_least(f"{pair.title}, {step}, batch {batch}", goal, Ratio.of(took["plain"], took["ours"]))


def growth(seconds: dict[int, float]) -> float:
    """Exponent of the time from the least to the most frames."""
    few, *_, many = seconds
    return math.log(seconds[many] / seconds[few]) / math.log(many / few)


def summary_seconds(what: str, n_frames: int, most: int) -> float:
    """The least of two encodings or predictions of random frames, where bounded with the decoder's bound."""
    import torch

    import medbench

    bounds = {"most_global_frames": most, "most_decoder_frames": DECODER_BOUND if most else 0}
    network = medbench.create_model("fulltransnet", num_classes=1, length=n_frames, **bounds)
    frames = torch.rand(1, n_frames, 1024)
    everywhere = torch.arange(0, n_frames, 1 / GLOBAL_SHARE).long()[None]
    run = network.eval().encode if what == "encoder" else network.eval().frame_scores
    inputs = (frames, everywhere) if what == "encoder" else (frames, frames, everywhere)
    with torch.inference_mode():
        return min(turns({"ours": lambda: run(*inputs)}, 2, warm=False)["ours"])


def summaries() -> Iterator[Row]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    summary_seconds("encoder", 64, 0)
    few_to_4000, to_16000 = (500, 1000, 2000, 4000), (500, 4000, 16000)
    for what, most, lengths, goal in (
        ("encoder", 0, few_to_4000, None),
        ("encoder", BOUND, few_to_4000, 1.1),
        ("encoder", BOUND, to_16000, 1.15),
        ("prediction", BOUND, few_to_4000, 1.1),
    ):
        power = growth({n: summary_seconds(what, n, most) for n in lengths})
        given = f" and {DECODER_BOUND} in the decoder" if what == "prediction" else ""
        frames = (
            f"at most {most} global frames{given}" if most else "every global frame (15 %), the exact form"
        )
        work = f"FullTransNet's {what}, {frames}, {lengths[0]} to {lengths[-1]:,} frames"
        yield Row(work, f"≤ n^{goal}" if goal else NO_GOAL, f"n^{power:.2f}", not goal or power <= goal)


def slide_scoring() -> Iterator[Row]:
    from medbench.challenges.kpis.slide_scoring import compare_rows, slide_scores

    side, rng = SLIDE_SIDE, np.random.default_rng(0)
    reference, prediction = np.zeros((2, side, side), np.uint8)
    y, x = np.ogrid[-200:201, -200:201]
    for _ in range(round(1020 * (side / 20000) ** 2)):
        row, column = rng.integers(215, side - 216, 2)
        disk = y**2 + x**2 < rng.integers(80, 200) ** 2
        down, right = rng.integers(-10, 11, 2)
        for mask, (i, j) in ((reference, (row, column)), (prediction, (row + down, column + right))):
            mask[i - 200 : i + 201, j - 200 : j + 201][disk] = 255

    def score() -> Any:
        rows = (lambda first, last: reference[first:last]), (lambda first, last: prediction[first:last])
        return slide_scores(compare_rows(rows[0], (side, side), rows[1], (side, side), 1))

    rates = [side**2 / 1e6 / seconds for seconds in turns({"ours": score}, 2)["ours"]]
    middle = sum(rates) / 2
    yield Row(
        f"scoring of a slide, all rules, masks of {side:,}² in memory",
        f"≥ {SLIDE_GOAL:.0f} Mpixel/s",
        f"{middle:.0f} ({min(rates):.0f}–{max(rates):.0f}) Mpixel/s of one thread",
        middle >= SLIDE_GOAL,
    )


def slide_share() -> Iterator[Row]:
    model = "dssau_net.test"
    with tempfile.TemporaryDirectory() as home:
        words = ["--child", "large", str(Path(home) / "slide"), model]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "slides.py"), *words],
            stdout=subprocess.PIPE, text=True, check=True, env=environment(Path(home), 2),
        )  # fmt: skip
    seconds = json.loads(done.stdout.splitlines()[-1])
    kept = Ratio.of(seconds["network_s"], seconds["predict_s"])
    yield Row(
        f"slide of {seconds['side']:,}², {model} at 256: share of the network's own speed that remains, wall",
        f"≥ {SHARE_GOAL:.0%}",
        f"{kept.median:.0%} ({kept.least:.0%}–{kept.largest:.0%}) of one batch after another on two threads",
        kept.median >= SHARE_GOAL,
    )


def run_share() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, str(HERE / "run_share.py")],
            capture_output=True, text=True, check=True, env=environment(Path(home)),
        )  # fmt: skip
    shares = re.search(r"\*\*share\*\* \| \*\*([\d.]+)%\*\* \| \*\*([\d.]+)%\*\*", done.stdout)
    assert shares is not None, done.stdout
    near, far = map(float, shares.groups())
    yield Row(
        "`run` outside the network, DSSAU-Net, 256² frames",
        f"< {RUN_SHARE_GOAL:g} %",
        f"{near} %, and {far} % where answers mostly miss",
        max(near, far) < RUN_SHARE_GOAL,
    )


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "evaluation": evaluation,
    "metrics": metrics,
    "networks": networks,
    "summaries": summaries,
    "scoring": slide_scoring,
    "slides": slide_share,
    "run": run_share,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to measure")
    options = parser.parse_args()
    started = time.perf_counter()
    print("| work | goal | measured | verdict |\n|---|---|---|---|", flush=True)
    missed = []
    for part in options.only:
        for row in PARTS[part]():
            print(row, flush=True)
            if not row.met:
                missed.append(f"- {row.work}: {row.goal}, measured {row.measured}")
    print(f"\nIn {time.perf_counter() - started:.0f} s; load average {os.getloadavg()[0]:.1f}.")
    print("\nGoals missed:\n" + "\n".join(missed) if missed else "\nEvery goal measured here is met.")


if __name__ == "__main__":
    main()
