"""Speed and memory of the networks against straightforward transcriptions of the same formulas.

Every ``models_plain_*.py`` beside this script holds transcriptions and a function ``pairs()`` that names them
with ours (:class:`models_pair.Pair`). The script first shows that each pair computes the same outputs and
gradients from the same weights in float64, then times them in turns: CPU seconds on one thread, wall on two.

    python speed/models.py --repeats 5 --write
    python speed/models.py --only 'brau_net_pp*' --repeats 3 --batches 1
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fnmatch
import importlib
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.machine import processor_name
from metrics_timing import Ratio, timed
from models_pair import Pair

PAGE = Path(__file__).with_suffix(".md")
THREADS = 2
STEPS = ("forward", "training step")
REMARKS = "## What bounds it\n"
HEADING = """# The networks against plain transcriptions

Written by `python speed/models.py --write`; the transcriptions stand in `models_plain_*.py`. A training
step of a network is forward, backward and an AdamW step; of a single layer, forward and backward.
"""


def all_pairs() -> dict[str, Pair]:
    """Of every ``models_plain_*.py``, in the order of their files."""
    found: dict[str, Pair] = {}
    for path in sorted(Path(__file__).parent.glob("models_plain_*.py")):
        found |= importlib.import_module(path.stem).pairs()
    return found


def call_of(pair: Pair, model: nn.Module, step: str, batch: int) -> Callable[[], None]:
    """One run of the work."""
    images = torch.randn(batch, *pair.shape, requires_grad=step != "forward" and not pair.num_classes)
    if step == "forward":
        model.eval()

        def forward() -> None:
            with torch.inference_mode():
                model(images)

        return forward
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    sides = pair.shape[1:] if pair.dense else ()
    labels = torch.randint(0, max(pair.num_classes, 2), (batch, *sides))

    def train() -> None:
        optimiser.zero_grad()
        images.grad = None
        output = model(images)
        if pair.num_classes == 0:
            output.backward(output.detach())
            return
        _loss(output, labels).backward()
        optimiser.step()

    return train


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels)


def show_equal(pair: Pair) -> tuple[float, float]:
    """Largest relative difference of output and of any gradient in float64, evaluation mode.

    Of two images: for one, torch 2.14's batch norm on the CPU misreads a gradient whose memory is
    channels-last when its input's is not, which happens behind the stem of the plain BRAU-Net.
    """
    torch.manual_seed(0)
    models = pair.build()
    images = torch.randn(2, *pair.shape, dtype=torch.float64)
    outputs: list[Tensor] = []
    for model in models:
        output = model.double().eval()(images)
        weights = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(0))
        (output * weights).sum().backward()
        outputs.append(output.detach())
    ours, plain = models
    theirs = {name: part.grad for name, part in plain.named_parameters() if part.grad is not None}
    gradients = pair.ours_from(plain.state_dict() | theirs)
    least = 1e-6 * max(float(part.grad.norm()) for part in ours.parameters() if part.grad is not None)
    off = [
        float((part.grad - gradients[name]).norm()) / max(float(gradients[name].norm()), least)
        for name, part in ours.named_parameters()
        if part.grad is not None
    ]
    return float((outputs[0] - outputs[1]).norm() / outputs[1].norm()), max(off)


def measure(pair: Pair, step: str, batch: int, repeats: int) -> dict[str, list[list[float]]]:
    """Milliseconds of every round of ours and of the plain one: ``wall`` of two threads, ``cpu`` of one.

    A round of less than a second is repeated three times as often.
    """
    torch.manual_seed(0)
    calls = [call_of(pair, model, step, batch) for model in pair.build()]
    rounds: dict[str, list[list[float]]] = {}
    for clock, threads in (("wall", THREADS), ("cpu", 1)):
        torch.set_num_threads(threads)
        warm_s = sum(timed(call)[0] for call in calls)
        rounds[clock] = [[], []]
        for turn in range(repeats if warm_s > 1 else 3 * repeats):
            for which in (0, 1) if turn % 2 else (1, 0):
                wall_s, cpu_s, _ = timed(calls[which])
                rounds[clock][which].append(1e3 * (wall_s if clock == "wall" else cpu_s))
    torch.set_num_threads(THREADS)
    return rounds


def peak_mb(name: str, step: str, batch: int, which: int) -> float:
    """What doing this work twice adds to the largest resident size of a process, in MB.

    glibc gives freed blocks from 128 KiB on back at once. It otherwise learns to keep those of up to 32 MiB,
    and the figure then depends on how they happen to fit.
    """
    command = [sys.executable, __file__, "--peak", name, step, str(batch), str(which)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 17)}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(result.stdout)


def _report_peak(pair: Pair, step: str, batch: int, which: int) -> None:
    model = (pair.ours, pair.plain)[which]()
    call = call_of(pair, model, step, batch)
    _forget_high_water()
    before = _resident_mb("VmRSS")
    for _ in range(2):
        call()
    print(_resident_mb("VmHWM") - before)


def _forget_high_water() -> None:
    """Importing takes memory for a moment; on Linux the record of it can be cleared."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident_mb(what: str) -> float:
    """Of this process alone: Linux hands ``ru_maxrss`` down from the parent, ``VmHWM`` begins anew."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1024
    )


def main() -> None:
    """Parse the command line, compare the pairs and write the page if asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds, after one warm-up")
    parser.add_argument("--only", default="*", help="pattern of the names to compare")
    parser.add_argument("--batches", default="1,4", help="batch sizes")
    parser.add_argument("--steps", default=",".join(STEPS), help="which work")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pairs = all_pairs()
    torch.set_num_threads(THREADS)
    if arguments.peak:
        name, step, batch, which = arguments.peak
        _report_peak(pairs[name], step, int(batch), int(which))
        return

    pairs = {name: pair for name, pair in pairs.items() if fnmatch.fnmatch(name, arguments.only)}
    lines = [
        "| the same weights in float64 | output | largest of any parameter's gradient |",
        "|---|---|---|",
    ]
    for pair in pairs.values():
        output, gradient = show_equal(pair)
        lines.append(f"| {pair.title} | {output:.0e} | {gradient:.0e} |")
        print(lines[-1], flush=True)
        if max(output, gradient) > 1e-9:
            raise SystemExit("They do not compute the same function.")
    lines += [
        "",
        f"| work | wall ms on {THREADS} threads, ours | plain | plain ÷ ours "
        "| CPU ms on one thread, ours | plain | plain ÷ ours "
        "| memory MB, ours | plain | ours ÷ plain |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pair in pairs.items():
        for step in arguments.steps.split(","):
            for batch in map(int, arguments.batches.split(",")):
                lines.append(_row(name, pair, step, batch, arguments.repeats))
                print(lines[-1], flush=True)
                if arguments.write:
                    _write(lines, arguments.repeats)


def _row(name: str, pair: Pair, step: str, batch: int, repeats: int) -> str:
    cells = [f"{pair.title}, {step}, batch {batch}"]
    for ours, plain in measure(pair, step, batch, repeats).values():
        cells += [f"{statistics.median(ours):.1f}", f"{statistics.median(plain):.1f}"]
        cells.append(f"{Ratio.of(plain, ours)}")
    memory = ["", "", ""]
    if step != "forward":
        added, theirs = (peak_mb(name, step, batch, which) for which in (0, 1))
        memory = [f"{added:.0f}", f"{theirs:.0f}", f"{added / theirs:.2f}"]
    return f"| {' | '.join(cells + memory)} |"


def _write(lines: list[str], repeats: int) -> None:
    """Renew the measured part of the page, so far; what a person wrote below stays."""
    about = (
        f"{processor_name()}, torch {torch.__version__}, float32, {datetime.date.today().isoformat()}; load "
        f"average at the end {os.getloadavg()[0]:.1f}. Medians of {repeats} rounds in which ours and the "
        f"plain one take turns, of {3 * repeats} where a round takes less than a second. Plain ÷ ours is the "
        "median of the rounds' ratios, in brackets the least and the largest. Memory is what doing the work "
        "twice adds to the largest resident size of a process whose freed blocks go back to the system at "
        "once (MALLOC_MMAP_THRESHOLD_=131072)."
    )
    _, mark, remarks = (PAGE.read_text() if PAGE.exists() else REMARKS).partition(REMARKS)
    PAGE.write_text("\n".join([HEADING, about, "", *lines, "", mark]) + remarks)


if __name__ == "__main__":
    main()
