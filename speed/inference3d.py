"""Whole volumes: our windows against MONAI's, reading and writing of a case, evaluation of a cohort.

    python speed/inference3d.py            print the tables
    python speed/inference3d.py --write    and write speed/inference3d.md
    python speed/inference3d.py --small    volumes of 60 x 60 x 40, windows of 32: a try-out

Both ways of stitching run in one process, interleaved, with the same network, windows, weights and batch.
The free network halves its input, so that stitching is nearly all there is. Extra memory is the peak resident
set of a process of its own above what it holds once network and volume are there and one window was seen;
the network's own share is that of one window alone. The timed process keeps freed memory, as the
command does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from medbench.core.machine import keep_freed_memory
from metrics_timing import Ratio, interleaved, peak_resident

HERE = Path(__file__).resolve()
REAL = HERE.parents[2] / "shared" / "data" / "brats" / "brats_gli_dqe"
SHAPE, WINDOW, CLASSES = (155, 240, 240), 128, 4
SMALL_SHAPE, SMALL_WINDOW = (40, 60, 60), 32
TRAINING_CASES_2020 = 369


def make_network(name: str) -> Any:
    import torch

    import medbench

    torch.manual_seed(0)
    if name == "free":
        return lambda volumes: volumes * 0.5
    return medbench.create_model("monai/unet", num_classes=CLASSES).eval()


def make_volume(shape: tuple[int, ...]) -> Any:
    import torch

    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))


def stitch(way: str, network: Any, volume: Any, window: int) -> Any:
    import torch

    size = (window,) * 3
    with torch.inference_mode():
        if way == "medbench":
            from medbench.inference.volumes import slide_windows

            return slide_windows(network, volume, size, overlap=0.5)
        from monai.inferers import sliding_window_inference

        found = sliding_window_inference(volume[None], size, 1, network, overlap=0.5, mode="gaussian")
        return found.argmax(dim=1)[0]


def memory_child(way: str, name: str, shape: tuple[int, ...], window: int) -> None:
    """Print extra peak memory of a whole volume, or of one window, in a process of its own."""
    import torch

    torch.set_num_threads(2)
    network, volume = make_network(name), make_volume(shape)
    first = volume[:, :window, :window, :window]
    with torch.inference_mode():
        network(first[None])
        stitch("medbench" if way == "window" else way, network, first, window)
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_resident()
        found = network(first[None]) if way == "window" else stitch(way, network, volume, window)
    print(peak_resident() - before, found.numel())


def extra_memory(way: str, name: str, shape: tuple[int, ...], window: int) -> int:
    arguments = [way, name, "x".join(map(str, shape)), str(window)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE), "--memory-of", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-2])


def windows(shape: tuple[int, ...], window: int, repeats: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Both ways on both networks, interleaved; their answers must be the same."""
    volume, rows = make_volume(shape), {}
    for name, count in repeats.items():
        network = make_network(name)
        calls = {
            way: (lambda way=way, network=network: stitch(way, network, volume, window))
            for way in ("medbench", "MONAI")
        }
        found = interleaved(calls, dict.fromkeys(calls, count))
        same = (found["medbench"]["values"] == found["MONAI"]["values"]).double().mean()
        own = extra_memory("window", name, shape, window)
        for way, row in found.items():
            row |= {"memory": extra_memory(way, name, shape, window), "own": own, "same": float(same)}
            del row["values"]
            rows[f"{name}, {way}"] = row
    return rows


def write_case(root: Path, shape: tuple[int, ...]) -> str:
    """A case of BraTS 2023 in its layout, of real images where they are; what it is."""
    from medbench.challenges.brats.sample import draw_head
    from medbench.core.case import Volume
    from medbench.io.nifti_mha import read_volume, write_volume

    name = "BraTS-GLI-00001-000"
    real = REAL.is_dir() and shape == SHAPE
    images = {} if real else draw_head(np.random.default_rng(0))[0]
    for modality in ("t1n", "t1c", "t2w", "t2f"):
        path = root / "test" / name / f"{name}-{modality}.nii.gz"
        if real:
            write_volume(path, read_volume(REAL / f"{modality}.nii.gz"))
            continue
        small = images[modality]
        place = [
            np.linspace(0, side - 1, wanted).astype(int)
            for side, wanted in zip(small.shape, shape, strict=True)
        ]
        write_volume(
            path,
            Volume(small[np.ix_(*place)], (1.0, 1.0, 1.0), (0.0, 239.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)),
        )
    return "a real glioma case" if real else "an enlarged synthetic head"


def files(shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Reading, preparing and writing one case of four modalities."""
    import medbench
    from medbench.core.sample import Prediction
    from medbench.inference.volumes import VolumeContract

    challenge, contract = medbench.load_challenge("brats2023_gli"), VolumeContract(WINDOW)
    took: dict[str, list[float]] = {"read": [], "prepare": [], "write": [], "all": []}
    with tempfile.TemporaryDirectory() as folder:
        what = write_case(Path(folder), shape)
        (case,) = challenge.cases(Path(folder), "test")
        for _ in range(repeats):
            start = time.perf_counter()
            sample = challenge.exchange.inputs["volume"].read(case)
            read = time.perf_counter()
            prepared = contract.prepare(sample)
            ready = time.perf_counter()
            labels = np.zeros(prepared.shape, np.uint8)
            labels[prepared.box] = np.digitize(prepared.array[0], (0.5, 1.0, 1.5))
            challenge.write(Prediction({"label_map": labels}), case, Path(folder))
            done = time.perf_counter()
            for name, seconds in zip(
                took, (read - start, ready - read, done - ready, done - start), strict=True
            ):
                took[name].append(seconds)
    spreads = {
        name: f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
        for name, values in took.items()
    }
    return {"what": what, "kind": str(sample.volumes.dtype), "crop": prepared.array.shape, **spreads}


def cohort(count: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Evaluation of many cases by the protocol of BraTS 2020, WT, TC and ET, Dice and HD95, two workers."""
    from medbench.core.case import Volume
    from medbench.io.nifti_mha import read_volume, write_volume
    from medbench.running.evaluate import evaluate

    real = REAL.is_dir() and shape == SHAPE
    if real:
        reference = read_volume(REAL / "seg-BraTS23_1.nii.gz").array
        prediction = read_volume(REAL / "seg-bratstoolkit_isen.nii.gz").array
        reference = np.where(reference == 3, 4, reference).astype(np.uint8)
    else:
        z, y, x = np.ogrid[tuple(slice(-1, 1, side * 1j) for side in shape)]
        distance = np.sqrt(z**2 + y**2 + x**2)
        reference, prediction = (
            np.select([distance < 0.2 * s, distance < 0.3 * s, distance < 0.5 * s], [1, 4, 2]).astype(
                np.uint8
            )
            for s in (1.0, 1.08)
        )
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(1, count + 1):
            shift = tuple(int(step) for step in rng.integers(-3, 4, 3))
            flip = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5))
            name = f"BraTS20_Training_{number:03d}"
            for path, array in (
                (root / "ref" / f"{name}_seg.nii.gz", np.flip(reference, flip)),
                (root / "pred" / f"{name}.nii.gz", np.flip(np.roll(prediction, shift, (0, 1, 2)), flip)),
            ):
                write_volume(path, Volume(np.ascontiguousarray(array), (1.0, 1.0, 1.0)))
        start, cpu = time.perf_counter(), time.process_time()
        finished = evaluate(
            "brats2020",
            root / "pred",
            data=root / "ref",
            split="all",
            runs=root / "runs",
            leaderboards=root / "boards",
        )
        wall, used = time.perf_counter() - start, time.process_time() - cpu
    metrics = finished.record.metrics
    return {
        "what": "a real pair of segmentations, shifted and mirrored" if real else "synthetic tumours",
        "cases": count,
        "wall_s": wall,
        "cpu_s": used,
        "scaled_s": wall * TRAINING_CASES_2020 / count,
        "dice_wt": metrics["dice_wt"].value,
        "hd95_wt": metrics["hd95_wt"].value,
    }


def page(shape: tuple[int, ...], window: int, found: dict[str, Any]) -> str:
    mega, size = 2**20, "×".join(map(str, shape))
    volume = 4 * 4 * int(np.prod(shape))
    lines = [
        "# Volumes: sliding windows, files, evaluation",
        "",
        f"Written by `python speed/inference3d.py --write`. Two threads on {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}. Load average before it began: "
        f"{found['load']:.1f}.",
        "",
        f"## Windows of {window}³, overlap 0.5, Gaussian weights; {size}, 4 modalities, {CLASSES} classes",
        "",
        f"The input takes {volume / mega:.0f} MiB. Medians of interleaved runs in one process; a ratio is of "
        "one round, the median with the least and the largest. The free network halves its input; U-Net is "
        "`monai/unet`. Extra memory is the peak above network and input in a process of its own; the "
        "network's own share is that of one window.",
        "",
        "| network | stitched by | wall [s] | CPU [s] | runs | extra memory [MiB] | network's own [MiB] | "
        "same classes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["windows"].items():
        network, way = name.split(", ")
        lines.append(
            f"| {network} | {way} | {row['wall_s']:.2f} | {row['cpu_s']:.2f} | {row['runs']} | "
            f"{row['memory'] / mega:.0f} | {row['own'] / mega:.0f} | {row['same']:.6f} |"
        )
    lines.append("")
    for network in dict.fromkeys(name.split(", ")[0] for name in found["windows"]):
        ours, theirs = (found["windows"][f"{network}, {way}"] for way in ("medbench", "MONAI"))
        wall, cpu = (Ratio.of(theirs[each], ours[each]) for each in ("wall_rounds", "cpu_rounds"))
        lines.append(
            f"- {network}: {wall} times as fast as MONAI, {cpu} in CPU seconds (bar: 1); "
            f"{ours['memory'] / theirs['memory']:.2f} of its extra memory (bar: 0.5); without the "
            f"network's own {(ours['memory'] - ours['own']) / volume:.2f} of the input (bar: 1, twice the "
            "input in all)."
        )
    case, people = found["files"], found["cohort"]
    lines += [
        "",
        "## One case of four modalities",
        "",
        f"{case['what'].capitalize()} of {size}, stored as {case['kind']}, cropped to "
        f"{'×'.join(map(str, case['crop'][1:]))}. Medians with the least and the largest.",
        "",
        "| read [s] | crop and normalise [s] | write [s] | together [s] | bar [s] |",
        "|---|---|---|---|---|",
        f"| {case['read']} | {case['prepare']} | {case['write']} | {case['all']} | 2 |",
        "",
        "## Evaluation by the protocol of BraTS 2020",
        "",
        f"{people['what'].capitalize()}; `medbench evaluate`, reading and the record included, two workers. "
        f"Mean Dice WT {people['dice_wt']:.4f}, HD95 WT {people['hd95_wt']:.2f} mm.",
        "",
        f"| cases | wall [s] | CPU [s] | scaled to {TRAINING_CASES_2020} cases [min] | bar [min] |",
        "|---|---|---|---|---|",
        f"| {people['cases']} | {people['wall_s']:.1f} | {people['cpu_s']:.1f} | "
        f"{people['scaled_s'] / 60:.1f} | 8 |",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write inference3d.md beside this script")
    parser.add_argument("--small", action="store_true", help="small volumes: a try-out")
    parser.add_argument("--cases", type=int, default=40, help="of the evaluation")
    parser.add_argument("--memory-of", nargs=4, metavar=("WAY", "NETWORK", "SHAPE", "WINDOW"))
    given = parser.parse_args()
    if given.memory_of:
        way, name, shape_text, side = given.memory_of
        memory_child(way, name, tuple(map(int, shape_text.split("x"))), int(side))
        return
    import torch

    keep_freed_memory()
    torch.set_num_threads(2)
    load = os.getloadavg()[0]
    shape, window = (SMALL_SHAPE, SMALL_WINDOW) if given.small else (SHAPE, WINDOW)
    found = {
        "load": load,
        "files": files(shape, 5),
        "cohort": cohort(given.cases, shape),
        "windows": windows(shape, window, {"free": 7, "U-Net": 3}),
    }
    print(json.dumps(found, indent=2, default=str))
    text = page(shape, window, found)
    print(text)
    if given.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
