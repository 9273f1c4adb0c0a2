"""What a rehearsal of every platform costs beyond the model's own time, with networks of a few weights.

python speed/submissions.py --write      # also writes speed/submissions.md
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from medbench.core.machine import usable_cores

THREE = {"in_channels": 3, "num_classes": 3}
TWO = {"in_channels": 3, "num_classes": 2}
HEADS = {"in_channels": 4, "num_classes": 4}
HEAD_SHAPE = (4, 40, 72, 64)
"""Modalities, depth, height and width of the drawn heads: 24 windows."""
HEADS_2025 = {"in_channels": 4, "num_classes": 5}
SUBMISSIONS = {
    "grand-challenge": ("psfhs", "dssau_net.test", 64, THREE),
    "codalab": ("iugc2024", "dssau_net.test", 64, {**THREE, "num_image_classes": 2}),
    "codabench-iugc2025": ("iugc2025", "heatmap_unet.test", 64, THREE),
    "hc18": ("hc18", "dssau_net.test", 64, TWO),
    "kpis-patch": ("kpis_patch", "mslau_net.test", 64, TWO),
    "kpis-slide": ("kpis_slide", "mslau_net.test", 64, TWO),
    "brats-mlcube": ("brats2023_gli", "dmaf_net.test", 32, HEADS),
    "brats-docker": ("brats2025_gli", "dmaf_net.test", 32, HEADS_2025),
    "medperf": ("brats2023_gli", "dmaf_net.test", 32, HEADS),
    "synapse-docker": ("brats2025_gli", "dmaf_net.test", 32, HEADS_2025),
}
HEAD = (
    "| platform | processes with the model | CPU s | of it the models' own | the rest | wall s |",
    "|---|---|---|---|---|---|",
)
SOCKETS = """
[[interfaces]]
[[interfaces.inputs]]
slug = "ultrasound"
path = "images/ultrasound"
[[interfaces.outputs]]
slug = "segmentation"
path = "images/segmentation"
"""


def write_submission(folder, name):
    """A submission's file, with fresh weights beside it."""
    import torch

    import medbench
    from medbench.inference.weights import save_checkpoint

    challenge, model, side, options = SUBMISSIONS[name]
    torch.manual_seed(3)
    network = medbench.create_model(model, **options)
    folder.mkdir()
    save_checkpoint(folder / "w.pt", network.state_dict(), {"model": model, "options": {}})
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\nchallenge = "{challenge}"\nmodel = "{model}"\nplatform = "{name}"\n'
        f'[weights]\nfile = "w.pt"\n[inference]\nimage_size = {side}\n'
        + (SOCKETS if name == "grand-challenge" else "")
    )
    return path


def model_command(name):
    """A process that does what no rehearsal can spare: load torch, build the network, predict a case."""
    _, model, side, options = SUBMISSIONS[name]
    predict = f"network(torch.zeros(1, {options['in_channels']}, {side}, {side}))"
    if model.startswith("dmaf_net"):
        predict = f"slide_windows(network, torch.zeros({HEAD_SHAPE}), {(side,) * 3})"
    program = (
        "import torch, medbench\nfrom medbench.inference.volumes import slide_windows\n"
        f"network = medbench.create_model({model!r}, **{options!r}).eval()\n"
        f"with torch.inference_mode():\n    {predict}"
    )
    return [sys.executable, "-c", program]


def measure(command, environment):
    """CPU and wall seconds of a command with the processes that it starts."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def start_row(work, environment, repeats):
    """CPU seconds of a process that loads a network, with the bytecode that images hold and without any."""
    command, empty = model_command("codalab"), work / "no-bytecode"
    without = [command[0], "-X", f"pycache_prefix={empty}", *command[1:]]
    kept, none = [], []
    for _ in range(repeats):
        kept.append(measure(command, environment)[0])
        none.append(measure(without, {**environment, "PYTHONDONTWRITEBYTECODE": "1"})[0])
    return (
        f"A process that loads torch, builds `dssau_net.test` and predicts once takes "
        f"{statistics.median(kept):.1f} CPU s with bytecode, which images hold, and "
        f"{statistics.median(none):.1f} CPU s without any."
    )


def page(lines, start, repeats, loads):
    """The Markdown page."""
    note = (
        "`medbench submit rehearse FILE --engine none --count 1` on the drawn sample, with networks of a "
        "few weights: build, prediction by `medbench run`'s code, every call of the container, "
        "comparison. The models' own time is that of a process that loads torch, builds the network and "
        "predicts once, a head by its 24 windows, for the command and for each call of the container. CPU "
        "seconds with the processes started; wall time says something on an idle machine alone. "
        f"The bar is 5 s for the rest. Medians of {repeats}, one thread, {usable_cores()} cores at a load of "
        f"{min(loads):.1f} to {max(loads):.1f}, Python {platform.python_version()}, {platform.machine()}. "
        "Made by `python speed/submissions.py --write`."
    )
    table = "\n".join([*HEAD, *lines])
    return f"# Rehearsals of submissions\n\n{table}\n\n{note}\n\n## Start of a container\n\n{start}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--platform", action="append", choices=list(SUBMISSIONS))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    lines, loads = [], [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDBENCH_RUNS": str(work / "runs")}
        for one in arguments.platform or SUBMISSIONS:
            lines.append(row(one, work, environment, arguments.repeats))
            print(lines[-1], flush=True)
            loads.append(os.getloadavg()[0])
        start = start_row(work, environment, arguments.repeats)
        print(start)
    if arguments.write:
        Path(__file__).with_suffix(".md").write_text(page(lines, start, arguments.repeats, loads))


def row(one, work, environment, repeats):
    """The row of a platform."""
    file = write_submission(work / one, one)
    command = [sys.executable, "-m", "medbench", "submit", "rehearse", file]
    command += ["--output", work / "build", "--engine", "none", "--count", "1"]
    measure(command, environment)  # draws the sample
    values = [measure(command, environment) for _ in range(repeats)]
    cpu, wall = (statistics.median(column) for column in zip(*values, strict=True))
    processes = 1 + {"grand-challenge": 2, "hc18": 0}.get(one, 1)
    measure(model_command(one), environment)
    alone = [measure(model_command(one), environment)[0] for _ in range(repeats)]
    own = processes * statistics.median(alone)
    return f"| `{one}` | {processes} | {cpu:.1f} | {own:.1f} | {cpu - own:.1f} | {wall:.1f} |"


if __name__ == "__main__":
    main()
