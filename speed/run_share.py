"""CPU seconds of ``medbench run`` outside the network: DSSAU-Net on frames of 256 × 256, one thread.

``python speed/run_share.py --write`` also writes ``speed/run_share.md``. Every phase is timed by the CPU
clock of its own thread, so that other work on the machine counts for nothing.
"""

from __future__ import annotations

import argparse
import collections
import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medbench.core.machine import keep_freed_memory

os.environ.setdefault("OMP_NUM_THREADS", "1")
PAGE = Path(__file__).with_suffix(".md")
GOAL = 0.05
PHASES = ("read", "prepare", "network", "decode", "write", "hash", "score", "journal")
MODEL, CHALLENGE, SIDE = "dssau_net", "psfhs", 256


class Clock:
    """CPU seconds by phase, nested phases taken out of the outer ones."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watched(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose CPU seconds are added to the phase."""

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[phase] += time.thread_time() - started

        return timed


@functools.cache
def near(reference: Path) -> Any:
    """Logits of the reference moved by two pixels down and to the right, as a trained network misses it."""
    import numpy as np

    from medbench.challenges.psfhs.files import read_label_map

    return logits_of(np.roll(read_label_map(reference), (2, 2), (0, 1)))


@functools.cache
def far(reference: Path) -> Any:
    """Logits of the same two ellipses in every frame, which mostly miss the reference."""
    import numpy as np

    y, x = np.mgrid[:SIDE, :SIDE]
    symphysis = ((x - 75) / 30) ** 2 + ((y - 85) / 13) ** 2 < 1
    head = ((x - 140) / 62) ** 2 + ((y - 155) / 50) ** 2 < 1
    return logits_of(np.where(head, 2, symphysis))


def logits_of(labels: Any) -> Any:
    """Logits ``(1, 3, height, width)`` of which ``labels`` are the largest."""
    import torch

    classes = torch.from_numpy(labels)
    return torch.stack([torch.full(classes.shape, 0.5), *((classes == label).float() for label in (1, 2))])[
        None
    ]


ANSWERS = {"near": near, "far": far}


def measure(cases: str, runs: Path) -> tuple[dict[str, dict[str, float]], int]:
    """Kind of answers -> CPU seconds by phase and of the ``whole`` loop over the cases; number of cases."""
    import torch

    import medbench
    from medbench.challenges import base
    from medbench.inference import predictor
    from medbench.running import journal, loop, setup
    from medbench.running import run as running
    from medbench.running.request import Inference

    torch.set_num_threads(1)
    clock = Clock()
    forward = clock.watched("network", predictor.NetworkPredictor._forward)
    read, waiting = clock.watched("read", setup.Setup.read), collections.deque[Any]()

    def read_noted(self: Any, case: Any) -> Any:
        sample = read(self, case)
        answers = {kind: logits(case.reference["labels"]) for kind, logits in ANSWERS.items()}
        waiting.append(answers[folder.name])
        return sample

    def answered(self: Any, prepared: Any) -> dict[str, Any]:
        forward(self, prepared)
        return {"label_map": waiting.popleft()}

    predictor.NetworkPredictor._forward = answered  # type: ignore[method-assign]
    contract = predictor.InputContract
    contract.prepare = clock.watched("prepare", contract.prepare)  # type: ignore[method-assign]
    predictor.decode = clock.watched("decode", predictor.decode)
    base.Challenge.write = clock.watched("write", base.Challenge.write)  # type: ignore[method-assign]
    loop.sha256_file = clock.watched("hash", loop.sha256_file)
    journal.sealed_line = clock.watched("journal", journal.sealed_line)
    subject = medbench.load_challenge(CHALLENGE)
    scorer = type(subject.scorer)
    scorer.score_file = clock.watched("score", scorer.score_file)
    setup.Setup.read = read_noted  # type: ignore[method-assign]
    whole, calls = running.predict_cases, []

    def loop_timed(*arguments: Any, **options: Any) -> Any:
        before = time.process_time()
        try:
            return whole(*arguments, **options)
        finally:
            calls.append(time.process_time() - before)

    running.predict_cases = loop_timed
    setup.Setup.predictor = clock.watched("start", setup.Setup.predictor)  # type: ignore[method-assign]
    seconds = {}
    for folder in (runs / turn / kind for turn in ("warm", "measured") for kind in ANSWERS):
        clock.seconds.clear()
        settings = {"weights": "none", "inference": Inference("cpu", image_size=SIDE), "cases": cases}
        finished = running.run(MODEL, CHALLENGE, runs=folder, leaderboards=runs / "boards", **settings)
        seconds[folder.name] = {**clock.seconds, "whole": calls[-1] - clock.seconds["start"]}
    return seconds, len(finished.rows)


def page(seconds: dict[str, dict[str, float]], count: int) -> str:
    """The measured page, in milliseconds of CPU a case."""
    from medbench.core.machine import processor_name

    outside, share, cells = [], [], []
    for phases in seconds.values():
        known = sum(phases[phase] for phase in PHASES)
        cells.append([*(phases[phase] for phase in PHASES), phases["whole"] - known])
        outside.append(phases["whole"] - phases["network"])
        share.append(outside[-1] / phases["whole"])
    rows = [
        f"| {phase} | " + " | ".join(f"{1000 * value / count:.1f}" for value in values) + " |"
        for phase, *values in zip((*PHASES, "all else"), *cells, strict=True)
    ]
    totals = " | ".join(f"**{1000 * value / count:.1f}**" for value in outside)
    shares = " | ".join(f"**{value:.1%}**" for value in share)
    lines = [
        "# Share of `medbench run` outside the network",
        "",
        f"`{MODEL}` on {count} frames of {SIDE} × {SIDE} of `{CHALLENGE}` (synthetic sample), one thread of "
        f"{processor_name()}; CPU milliseconds a case, by `speed/run_share.py`. The network computes, and "
        "its answer is replaced: by the reference moved by two pixels, as near as a trained network's, or by "
        "two ellipses in the same place of every frame, which mostly miss and cost most to compare. Start-up "
        "(first runs in this process, and the building of the network), the confidence intervals and the "
        "pages at the end of a run are no part of a case and are left out.",
        "",
        "| phase | answers near the reference | answers far from it |",
        "|---|---:|---:|",
        *rows,
        f"| **outside the network** | {totals} |",
        f"| **share** | {shares} |",
        "",
        f"Goal for a trained network: below {GOAL:.0%}, {'met' if share[0] < GOAL else 'missed'}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="*", help="pattern of case ids")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        text = page(*measure(options.cases, Path(folder)))
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
