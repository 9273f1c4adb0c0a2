"""Trains, runs and profiles a model of every family on a GPU, and compares its outputs with the CPU's.

Run ``python speed/gpu.py`` on a machine with a CUDA device: it takes less than four minutes and writes
``speed/gpu.md`` with the GPU's name. Every family trains 20 steps of its default recipe on random images in
memory, predicts, and is compared in single precision without TF32. ``--device cpu --tiny`` tries the script
itself on small networks; it prints the table and writes no page.

The four minutes are a reckoning: 10 s a model, 40 s for nnU-Net, which starts a program, plans and
preprocesses before its 20 steps, 30 s for the pre-training of 168 million parameters with 64 pairs a step;
220 s in all. A model whose seconds would end after those 220 is left out, and its row says so.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from gpu_families import STEPS, Family, Plan, StepClock
from gpu_programs import NnunetFamily, PairFamily
from medbench.models.devices import cuda_index, present_device, visible_cuda

PAGE = Path(__file__).with_suffix(".md")
LIMIT_S = 220.0
MODEL_S = 10.0
MODELS = (
    "dssau_net",
    "brau_net",
    "brau_net_pp",
    "mslau_net",
    "medformer_tiny",
    "cm_cgns",
    "smp/unet",
    "medformer_tiny.classifier",
    "cm_cgns.classifier",
    "medformer_tiny.retinanet",
    "heatmap_unet",
    "monai/unet",
    "monai/swinunetr",
    "dmaf_net",
    "fulltransnet",
    "cm_cgns.pretraining",
    "nnunet",
)
"""A model of every recipe family that has steps."""
TINY = (
    "dssau_net.test",
    "medformer.classifier.test",
    "cm_cgns.classifier",
    "medformer.retinanet.test",
    "heatmap_unet.test",
    "monai/unet",
    "dmaf_net.test",
    "fulltransnet",
    "cm_cgns.pretraining",
    "nnunet.test",
)
PROGRAMS: dict[str, type[Family] | type[PairFamily]] = {
    "cm_cgns.pretraining": PairFamily,
    "nnunet": NnunetFamily,
    "nnunet.test": NnunetFamily,
}
"""Models whose family trains by a program of its own."""
RECKONED_S = {"cm_cgns.pretraining": 30.0, "nnunet": 40.0}
HEADINGS = (
    "model",
    "training step [ms]",
    "images/s",
    "utilisation",
    "peak [GiB]",
    "predicted cases/s",
    "forward p50 [ms]",
    "against the CPU",
    "note",
)


@dataclass(slots=True)
class Row:
    """What was measured of a model; ``None`` where it was not.

    Attributes:
        model: model name.
        batch: examples of a training step.
        step_s: seconds of a training step, the first steps left out.
        used: share of the time in which the device computed.
        peak_bytes: most memory of the training.
        cases_per_s: predicted cases a second, preparation and decoding included.
        forward_s: median seconds of a forward pass of one sample.
        difference: largest difference to the CPU's output, over the output's largest value.
        note: why something was not measured.
    """

    model: str
    batch: int = 0
    step_s: float | None = None
    used: float | None = None
    peak_bytes: int | None = None
    cases_per_s: float | None = None
    forward_s: float | None = None
    difference: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Text under :data:`HEADINGS`."""
        return (
            f"`{self.model}`",
            _number(self.step_s, 1000, ".1f"),
            _number(None if not self.step_s else self.batch / self.step_s, 1, ".1f"),
            _number(self.used, 1, ".0%"),
            _number(self.peak_bytes, 2**-30, ".2f"),
            _number(self.cases_per_s, 1, ".1f"),
            _number(self.forward_s, 1000, ".2f"),
            _number(self.difference, 1, ".1e"),
            self.note,
        )


def _number(value: float | None, factor: float, layout: str) -> str:
    return "–" if value is None else format(value * factor, layout)


@dataclass(slots=True)
class Utilisation:
    """Share of time in which the device computes, by the driver's own counter (on the CPU, by its clock)."""

    device: str
    samples: list[float] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample during a block."""
        stop = threading.Event()
        started, cpu = time.perf_counter(), _cpu_s()
        thread = threading.Thread(target=self._sample, args=(stop,), daemon=True)
        if self.device != "cpu" and shutil.which("nvidia-smi"):
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if thread.ident is not None:
                thread.join()
            if self.device == "cpu":
                seconds = (time.perf_counter() - started) * torch.get_num_threads()
                self.samples.append(min(1.0, (_cpu_s() - cpu) / seconds))

    def _sample(self, stop: threading.Event) -> None:
        command = [
            "nvidia-smi",
            f"--id={visible_cuda(cuda_index(self.device))}",
            "--query-gpu=utilization.gpu",
        ]
        while not stop.wait(0.3):
            answer = subprocess.run(
                [*command, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=False
            )
            if answer.stdout.strip().isdecimal():
                self.samples.append(int(answer.stdout) / 100)

    @property
    def share(self) -> float | None:
        """Mean of the samples after the first fifth, in which data are drawn and kernels chosen."""
        late = self.samples[len(self.samples) // 5 :]
        return float(np.mean(late)) if late else None


def _cpu_s() -> float:
    """CPU seconds of this process and of the programs that it ran."""
    return sum(os.times()[:4])


def measure(model: str, plan: Plan, folder: Path) -> Row:
    """All figures of a model; what fails is said in the row's note."""
    row = Row(model)
    on_cuda = plan.device.startswith("cuda")
    used, clock = Utilisation(plan.device), StepClock(plan.device)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(cuda_index(plan.device))
    try:
        family = PROGRAMS.get(model, Family)(model, plan)
        with used.watched():
            family.train(folder / model.replace("/", "-"), clock)
        row.batch, row.step_s, row.used = family.batch, clock.step_s(), used.share
        if on_cuda and family.in_this_process:
            row.peak_bytes = torch.cuda.max_memory_allocated(cuda_index(plan.device))
        row.cases_per_s = family.predict()
        row.forward_s, row.note = family.forward()
        row.difference = family.difference()
    except Exception as error:  # noqa: BLE001 - one family's failure is a row of the table
        row.note = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if on_cuda:
        torch.cuda.empty_cache()
    return row


def reckoned_s(model: str) -> float:
    """Seconds that a model may take on a GPU."""
    return RECKONED_S.get(model, MODEL_S)


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" + "|---:" * (len(HEADINGS) - 2) + "|---|"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def page(rows: Sequence[Row], plan: Plan, seconds: float, name: str) -> str:
    """The page, which names the device."""
    return (
        f"# On {name}\n\n{STEPS} steps of every family's default recipe at {plan.precision} on random "
        f"images, prediction, latency of one sample and largest relative difference to the CPU's output in "
        f"single precision without TF32. torch {torch.__version__}, CUDA {torch.version.cuda}; "
        f"{math.ceil(seconds)} s in all. Made by `python speed/gpu.py`.\n\n{table(rows)}\n"
    )


def main(words: Sequence[str] | None = None) -> list[Row]:
    """Measure every family, print the table, and on a GPU write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args(words)
    plan = Plan(present_device(options.device), options.precision, options.tiny)
    started, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in TINY if plan.tiny else MODELS:
            if time.perf_counter() - started + reckoned_s(model) > LIMIT_S:
                rows.append(Row(model, note=f"not reached in {LIMIT_S:.0f} s"))
                continue
            rows.append(measure(model, plan, Path(folder)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))
    if plan.device.startswith("cuda"):
        name = torch.cuda.get_device_name(cuda_index(plan.device))
        options.output.write_text(page(rows, plan, time.perf_counter() - started, name), encoding="utf-8")
    return rows


if __name__ == "__main__":
    main()
