"""CPU seconds of ``medbench run`` outside the network: DSSAU-Net on frames of 256 × 256, one thread.

``python speed/run_share.py --write`` also writes ``speed/run_share.md``. Every phase is timed by the CPU
clock of its own thread, so that other work on the machine counts for nothing.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
def two_ellipses(count: int) -> Any:
    """Logits of a symphysis and a head as a trained network draws them; fresh weights would draw noise."""
    import torch

    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    symphysis = ((x - 75) / 30) ** 2 + ((y - 85) / 13) ** 2 < 1
    head = ((x - 140) / 62) ** 2 + ((y - 155) / 50) ** 2 < 1
    logits = torch.stack([torch.full(x.shape, 0.5), symphysis.float(), head.float()])
    return logits.expand(count, -1, -1, -1)


def measure(cases: str, runs: Path) -> tuple[Clock, float, int]:
    """Phases, CPU seconds of the whole loop over the cases, and the number of cases."""
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

    def answered(self: Any, prepared: Any) -> dict[str, Any]:
        forward(self, prepared)
        return {"label_map": two_ellipses(len(prepared))}

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
    setup.Setup.read = clock.watched("read", setup.Setup.read)  # type: ignore[method-assign]
    whole, calls = running.predict_cases, []

    def loop_timed(*arguments: Any, **options: Any) -> Any:
        before = time.process_time()
        try:
            return whole(*arguments, **options)
        finally:
            calls.append(time.process_time() - before)

    running.predict_cases = loop_timed
    setup.Setup.predictor = clock.watched("start", setup.Setup.predictor)  # type: ignore[method-assign]
    for name in ("warm", "measured"):
        clock.seconds.clear()
        settings = {"weights": "none", "inference": Inference("cpu", image_size=SIDE), "cases": cases}
        finished = running.run(MODEL, CHALLENGE, runs=runs / name, leaderboards=runs / "boards", **settings)
    return clock, calls[-1] - clock.seconds["start"], len(finished.rows)


def page(clock: Clock, total: float, count: int) -> str:
    """The measured page, in milliseconds of CPU a case."""
    from medbench.core.machine import processor_name

    network = clock.seconds["network"] / count
    outside = total / count - network
    share = outside / (outside + network)
    known = sum(clock.seconds[phase] for phase in PHASES)
    rows = [(phase, clock.seconds[phase] / count) for phase in PHASES]
    rows.append(("all else", (total - known) / count))
    lines = [
        "# Share of `medbench run` outside the network",
        "",
        f"`{MODEL}` on {count} frames of {SIDE} × {SIDE} of `{CHALLENGE}` (synthetic sample), one thread of "
        f"{processor_name()}; CPU milliseconds a case, by `speed/run_share.py`. The network computes, and "
        "its answer is replaced by two ellipses as a trained one draws them. Start-up (a first run in this "
        "process, and the building of the network), the confidence intervals and the pages at the end of a "
        "run are no part of a case and are left out.",
        "",
        "| phase | CPU [ms] a case |",
        "|---|---:|",
        *[f"| {phase} | {1000 * seconds:.1f} |" for phase, seconds in rows],
        f"| **outside the network** | **{1000 * outside:.1f}** |",
        "",
        f"Share outside the network: **{share:.1%}**; goal below {GOAL:.0%}: "
        f"{'met' if share < GOAL else 'missed'}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="*", help="pattern of case ids")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(*measure(options.cases, Path(folder)))
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
