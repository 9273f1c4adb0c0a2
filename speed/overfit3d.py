"""DMAF-Net (reconstruction) on one real glioma case: does it learn it by heart?

    python speed/overfit3d.py CASE                  print the table
    python speed/overfit3d.py CASE --write          and write speed/overfit3d.md

CASE is a folder with ``t1n``, ``t1c``, ``t2w``, ``t2f`` and ``seg-BraTS23_1`` as ``.nii.gz``, such as
tests/data of BrainLesion/deep_quality_estimation@9d5da865. Its labels are the output of the winner of BraTS
2023, no manual segmentation. The case is cut to a cube around its tumour's core, learnt by random patches
that show random subsets of its sequences, and then predicted as a whole with each of the 15 subsets: the same
case, so the numbers say that the network and its losses can fit, and nothing about new patients.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
TWINS = {"train": "BraTS20_Training_001", "test": "BraTS20_Training_002"}
SEQUENCES = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
CHALLENGE = "brats2020"


def cut(case: Path, root: Path, side: int) -> tuple[int, ...]:
    """Write a cube around the tumour's core as two patients, to learn and to test; its size ``(z, y, x)``.

    medbench refuses to test weights on the cases that they learnt, which is just what is wanted here. The
    layout is that of 2020, whose protocol is the plain Dice of each region; its enhancing tumour is label 4.
    """
    from dataclasses import replace

    from medbench.io.nifti_mha import read_volume, write_volume

    labels = read_volume(case / "seg-BraTS23_1.nii.gz")
    centre = [round(float(at.mean())) for at in np.nonzero(np.isin(labels.array, (1, 3)))]
    box = tuple(
        slice(low := min(max(0, middle - side // 2), max(0, length - side)), low + side)
        for middle, length in zip(centre, labels.array.shape, strict=True)
    )
    part = labels.array[box].astype(np.uint8)
    part[part == 3] = 4
    volumes = {name: read_volume(case / f"{name}.nii.gz") for name in SEQUENCES}
    for split, name in TWINS.items():
        target = root / split / name
        target.mkdir(parents=True)
        for theirs, sequence in SEQUENCES.items():
            volume = replace(volumes[theirs], array=volumes[theirs].array[box])
            write_volume(target / f"{name}_{sequence}.nii.gz", volume)
        write_volume(target / f"{name}_seg.nii.gz", replace(labels, array=part))
    return part.shape


def learn_by_heart(
    model: str, root: Path, settings: dict[str, Any], progress: Any
) -> tuple[dict[str, Any], Any, float]:
    """Summary of the training, the runs on all combinations, and the minutes of training."""
    import medbench
    from medbench.core.files import read_json
    from medbench.running.combinations import run_combinations

    runs = root.parent / "runs"
    begun = time.perf_counter()
    weights = medbench.train(
        model, CHALLENGE, data=root, split="train", recipe="quick", recipe_changes=settings, runs=runs,
        progress=progress,
    )  # fmt: skip
    minutes = (time.perf_counter() - begun) / 60
    found = run_combinations(
        model, CHALLENGE, data=root, split="test", weights=str(weights), runs=runs, progress=progress
    )
    return read_json(weights.with_name("training.json")), found, minutes


def page(shape: tuple[int, ...], summary: dict[str, Any], found: Any, minutes: float, load: float) -> str:
    history = summary["history"]
    marks = [history[round(share * (len(history) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)]
    names = [name for name, value in marks[0].items() if len(value) == 1]
    rows = [f"| {name} | " + " | ".join(f"{mark[name][0]:.4g}" for mark in marks) + " |" for name in names]
    recipe = summary["recipe"]
    return "\n".join(
        [
            "# One real case learnt by heart",
            "",
            "Written by `python speed/overfit3d.py CASE --write`: DMAF-Net (reconstruction) on the "
            "glioma case of BrainLesion/deep_quality_estimation@9d5da865, whose labels are a model's. It is "
            "tested on what it learnt, which says that it can learn, and nothing about new patients.",
            "",
            f"`{summary['model']}`: a cube of {' × '.join(map(str, shape))} voxels; {summary['steps']} steps "
            f"of {recipe['batch_size']} patches of {recipe['image_size']} voxels a side, each with a random "
            f"subset of the sequences; {minutes:.0f} minutes on {os.cpu_count()} cores without a GPU, load "
            f"average before {load:.1f}.",
            "",
            "| mean over an epoch | first | a quarter on | half way | three quarters | last |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            found.markdown().partition("\n")[2].strip(),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", type=Path, nargs="?", help="folder of the case")
    parser.add_argument("--model", default="dmaf_net", help="dmaf_net, or dmaf_net.test, its tiny form")
    parser.add_argument("--side", type=int, default=48, help="of the cube in voxels")
    parser.add_argument("--steps", type=int, default=1500, help="steps of training")
    parser.add_argument("--settings", default="{}", help="JSON of further recipe settings")
    parser.add_argument("--write", action="store_true", help="write overfit3d.md beside this script")
    given = parser.parse_args()
    if given.case is None:
        print("skipped: no CASE is given, see --help")
        return
    load = os.getloadavg()[0]
    from medbench.cli.console import ConsoleProgress

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDBENCH_CACHE"], os.environ["MEDBENCH_LEADERBOARDS"] = (
            f"{folder}/cache",
            f"{folder}/boards",
        )
        root = Path(folder) / "data"
        shape = cut(given.case, root, given.side)
        settings = {"image_size": 32, "patches": 50, "epochs": max(1, given.steps // 50), "batch_size": 1}
        summary, found, minutes = learn_by_heart(
            given.model, root, settings | json.loads(given.settings), ConsoleProgress()
        )
        text = page(shape, summary, found, minutes, load)
    print(text)
    if given.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
