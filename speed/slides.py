"""Whole slides: how fast each part of the way goes, what the pipeline keeps of the network's speed, memory.

    python speed/slides.py                          print the tables
    python speed/slides.py --size 40000 --write     and write speed/slides.md
    python speed/slides.py --size 4096              a try-out

A synthetic NEP25 slide, whose working level is the scan itself, is drawn first, and the networks learn from
the sample's patches for a few minutes, as an untrained one's mask is noise, which costs far more to clean
than any mask of use. Its parts are then timed in a process: reading every tile, and the network alone on
tiles that are in memory, in batches of 1, 2, 4 and 8, of which the fastest counts, in turns with the whole
way, as the machine's speed varies: one batch after another on two threads of torch's, as a plain loop runs
it, and two batches side by side on one thread each, as the pipeline does. The way as a whole, as in a run,
is a process of its own: predicting, writing and scoring. Peak memory is the largest resident size of that
process (VmHWM), with the pages of mapped files. All processes keep freed memory, as the command does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from medbench.core.machine import keep_freed_memory
from metrics_timing import Ratio, peak_resident

HERE = Path(__file__).resolve()
MODELS = {"dssau_net.test": 256, "smp/unet": 512}
TRAINING = {"batch_size": 2, "epochs": 1}
WARM_UP, REPEATS = 1, 3
THREADS = 2
BATCHES = (1, 2, 4, 8)
ROUNDS = 3
PART_SIDE, REPEATED = 4000, 10


def trained(model: str, runs: Path, least_steps: int = 80) -> Path:
    """The weights of a short training on the sample's patches, which is not repeated."""
    import medbench

    return medbench.train(
        model,
        "kpis_patch",
        recipe="quick",
        recipe_changes={**TRAINING, "least_steps": least_steps, "image_size": MODELS[model]},
        runs=runs,
    )


def make_predictor(model: str, weights: Path, work: Path) -> Any:
    """As ``medbench run`` makes it."""
    import medbench
    from medbench.inference.predictor import NetworkPredictor
    from medbench.inference.slides import SlidePredictor
    from medbench.inference.weights import load_checkpoint, load_into
    from medbench.models import model_entry
    from medbench.running.networks import plan_network

    challenge = medbench.load_challenge("kpis_slide")
    contract = plan_network(model_entry(model).name, challenge, {}).contract(MODELS[model])
    network = medbench.create_model(model, num_classes=2, image_size=MODELS[model])
    load_into(network, model, load_checkpoint(weights), weights.name)
    assert challenge.card.slide_settings is not None
    return SlidePredictor(NetworkPredictor(network, contract), challenge.card.slide_settings, work=work)


def only_case(root: Path) -> tuple[Any, Any]:
    import medbench

    challenge = medbench.load_challenge("kpis_slide")
    (case,) = challenge.cases(root, "test")
    return challenge, case


def parts(root: Path, model: str, weights: Path) -> dict[str, float]:
    """Seconds for reading every tile of the slide and for the network alone on as many."""
    import torch

    from medbench.inference.tile_reading import PassingSlide, TileReader
    from medbench.inference.tiles import tile_grid, wanted_tiles
    from medbench.inference.tissue import CELL, tissue_mask
    from medbench.io.slides import open_slide

    torch.set_num_threads(THREADS)
    predictor = make_predictor(model, weights, root)
    challenge, case = only_case(root)
    slide = challenge.read(case).slide
    grid = tile_grid(slide.shape, predictor.settings, predictor.network.contract.size)
    contract = replace(predictor.network.contract, size=grid.tile)
    with open_slide(slide.path, factor=slide.factor) as image:
        started = time.perf_counter()
        tissue = tissue_mask(image.thumbnail(CELL))
        looked = time.perf_counter()
        wanted = list(wanted_tiles(grid, tissue, CELL))
        reader = TileReader(image, grid, contract)
        places = [(row, column) for row, columns in enumerate(wanted) for column in columns]
        worked = time.process_time()
        for place in places:
            tile = reader.read(*place)
        read, worked = time.perf_counter(), time.process_time() - worked
    with open_slide(slide.path, factor=slide.factor) as image:
        decode_s = decoding(PassingSlide.of(image), reader.blocks(places))
    return {
        "tiles": len(places),
        "tissue_s": looked - started,
        "read_s": read - looked,
        "read_cpu_s": worked,
        "decode_cpu_s": decode_s,
        "network_s": network_alone(predictor, tile, len(places)),
        "beside_s": side_by_side(predictor, tile, len(places)),
    }


def network_alone(predictor: Any, tile: Any, tiles: int) -> float:
    """Seconds of the network on as many tiles, one batch after another, of the size that is fastest."""
    return tiles * min(median_s(call) / size for size, call in passes(predictor, tile).items())


def side_by_side(predictor: Any, tile: Any, tiles: int) -> float:
    """As :func:`network_alone`, by threads that compute a batch each with one thread of torch's."""
    from medbench.inference.torch_settings import single_threads

    per_tile = []
    for size, call in passes(predictor, tile).items():
        with single_threads(THREADS) as workers:
            at_once = [call] * (2 * THREADS)
            per_tile.append(median_s(partial(all_done, workers, at_once)) / len(at_once) / size)
    return tiles * min(per_tile)


def passes(predictor: Any, tile: Any) -> dict[int, Callable[[], Any]]:
    """A pass of the network for each size of batch."""
    contract = replace(predictor.network.contract, size=len(tile))
    return {
        size: partial(predictor.network.logits, contract.prepare(np.stack([tile] * size))) for size in BATCHES
    }


def all_done(workers: Executor, calls: list[Callable[[], Any]]) -> None:
    for done in [workers.submit(call) for call in calls]:
        done.result()


def median_s(call: Callable[[], Any]) -> float:
    """Seconds of a call, the median of some after the first."""
    times = []
    for _ in range(WARM_UP + REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times[WARM_UP:])


def decoding(image: Any, blocks: list[tuple[int, int]]) -> float:
    """CPU seconds of decoding alone, each of the blocks once."""
    height, width = image.block_shape
    began = time.process_time()
    for row, column in blocks:
        rows = row * height, min((row + 1) * height, image.shape[0])
        columns = column * width, min((column + 1) * width, image.shape[1])
        if min(row, column) >= 0 and rows[0] < rows[1] and columns[0] < columns[1]:
            image.read(rows, columns)
    return time.process_time() - began


def whole(root: Path, model: str, weights: Path) -> dict[str, Any]:
    """Seconds and peak memory of predicting, writing and scoring."""
    import torch

    torch.set_num_threads(THREADS)
    challenge, case = only_case(root)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        predictor = make_predictor(model, weights, Path(folder))
        predictor.network.logits(np.zeros((1, 3, MODELS[model], MODELS[model]), np.float32))
        found: dict[str, Any] = {"start_bytes": peak_resident()}
        begun, worked = time.perf_counter(), time.process_time()
        prediction = predictor.predict(challenge.read(case))
        predicted, worked = time.perf_counter(), time.process_time() - worked
        found["predict_bytes"] = peak_resident()
        path = challenge.write(prediction, case, Path(folder))
        written = time.perf_counter()
        found["write_bytes"] = peak_resident()
        scores = challenge.scorer.score_file(case, path).scores
        scored = time.perf_counter()
        found["score_bytes"] = peak_resident()
        found |= {
            "predict_s": predicted - begun,
            "predict_cpu_s": worked,
            "write_s": written - predicted,
            "score_s": scored - written,
            "phases_s": dict(predictor.time_s),
            "dice": scores["dice"].value,
        }
    return found


def large_share(root: Path, model: str) -> dict[str, Any]:
    """Seconds of the network alone, before and after, and of a whole prediction of a large slide.

    The slide repeats one of a hundredth of its size, whose drawing takes seconds.
    """
    import torch

    from medbench.inference.tiles import tile_grid, wanted_tiles
    from medbench.inference.tissue import CELL, tissue_mask
    from medbench.io.slides import open_slide

    side = draw_repeated(root)
    weights = trained(model, root / "runs", least_steps=40)
    torch.set_num_threads(THREADS)
    challenge, case = only_case(root)
    sample = challenge.read(case)
    predictor = make_predictor(model, weights, root / "work")
    grid = tile_grid(sample.slide.shape, predictor.settings, predictor.network.contract.size)
    with open_slide(sample.slide.path, factor=sample.slide.factor) as image:
        wanted = list(wanted_tiles(grid, tissue_mask(image.thumbnail(CELL)), CELL))
        tile = image.read((0, grid.tile), (0, grid.tile))
    alone = partial(network_alone, predictor, tile, sum(map(len, wanted)))
    before_s = alone()
    begun = time.perf_counter()
    predictor.predict(sample)
    predict_s = time.perf_counter() - begun
    return {"side": side, "network_s": [before_s, alone()], "predict_s": [predict_s] * 2}


def draw_repeated(root: Path) -> int:
    """Draw a slide of ``REPEATED`` × ``REPEATED`` equal parts; its side in pixels."""
    import tifffile

    from medbench.io.pyramids import write_pyramid

    draw(root / "part", PART_SIDE)
    for path in sorted((root / "part").rglob("*.tiff")):
        part = tifffile.imread(path)
        row = np.concatenate([part] * REPEATED, axis=1)
        target = root / path.relative_to(root / "part")
        target.parent.mkdir(parents=True, exist_ok=True)
        shape = PART_SIDE * REPEATED, *row.shape[1:]
        write_pyramid(target, [row] * REPEATED, shape, compression="jpeg" if row.ndim == 3 else "deflate")
    shutil.rmtree(root / "part")
    return PART_SIDE * REPEATED


def in_child(*arguments: str) -> Any:
    command = [sys.executable, "-W", "ignore", str(HERE), "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def draw(root: Path, size: int) -> dict[str, float]:
    import medbench

    begun = time.perf_counter()
    medbench.load_challenge("kpis_slide").release.draw_sample(root, {"slides": 1, "size": size})
    return {"draw_s": time.perf_counter() - begun, "draw_bytes": peak_resident()}


def page(size: int, load: float, drawn: dict[str, float], rows: dict[str, dict[str, Any]]) -> str:
    mega_px = size**2 / 1e6
    lines = [
        "# Whole slides",
        "",
        f"Written by `python speed/slides.py --size {size} --write`. Two threads on {os.cpu_count()} "
        f"cores ({platform.machine()}), Python {platform.python_version()}. Load average before it began: "
        f"{load:.1f}.",
        "",
        f"A synthetic slide of {size:,} × {size:,} pixels, {mega_px:,.0f} Mpixel at the working level, JPEG; "
        f"drawn in {drawn['draw_s']:.0f} s with {gib(drawn['draw_bytes'])}. Tiles of 2,048 pixels are shrunk "
        "to the network's own side. Mpixel/s are those of the slide. Seconds are medians of "
        f"{ROUNDS} rounds. Kept: seconds of the network alone on tiles in memory, one batch after another on "
        f"two threads, of {', '.join(map(str, BATCHES))} tiles, whichever is fastest (the mean of a "
        "measurement before and one after), over seconds of the whole "
        "prediction, which runs two small batches side by side on one thread each; the median of the rounds "
        "with the least and the largest. The last column is the same against the network alone that runs "
        "batches side by side, too.",
        "",
        "| network | tiles | read | network alone | side by side | predict | write | score | together "
        "| kept, goal 65 % | kept of side by side |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model, row in rows.items():
        row["together_s"] = row["predict_s"] + row["write_s"] + row["score_s"]
        rates = " | ".join(
            f"{mega_px / row[part]:,.0f} Mpixel/s, {row[part]:,.1f} s"
            for part in ("read_s", "network_s", "beside_s", "predict_s", "write_s", "score_s", "together_s")
        )
        kept, of_beside = (share(row[f"of_{part}"]) for part in ("network_s", "beside_s"))
        lines.append(f"| {model}, {MODELS[model]} | {row['tiles']:.0f} | {rates} | {kept} | {of_beside} |")
    lines += [
        "",
        "| network | memory before | peak after predicting | after writing | after scoring | bar |",
        "|---|---|---|---|---|---|",
    ]
    for model, row in rows.items():
        peaks = " | ".join(gib(row[f"{stage}_bytes"]) for stage in ("start", "predict", "write", "score"))
        lines.append(f"| {model} | {peaks} | 2 GiB |")
    lines += ["", "Seconds of prediction by what is done, over the number of threads that do so at once:", ""]
    for model, row in rows.items():
        phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in sorted(row["phases_s"].items()))
        lines.append(
            f"- {model}: {phases}; in all {row['predict_s']:.1f}. Finding tissue takes "
            f"{row['tissue_s']:.1f}. The Dice is {row['dice']:.3f}."
        )
    lines += ["", "CPU seconds:", ""]
    for model, row in rows.items():
        lines.append(
            f"- {model}: reading {row['read_cpu_s']:.1f}, of which decoding alone {row['decode_cpu_s']:.1f}; "
            f"the whole prediction {row['predict_cpu_s']:.1f}."
        )
    return "\n".join([*lines, ""])


def middle_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of rounds, value by value; of memory the largest."""
    first = rounds[0]
    return {
        name: middle_of([each[name] for each in rounds])
        if isinstance(first[name], dict)
        else (max if name.endswith("_bytes") else statistics.median)([each[name] for each in rounds])
        for name in first
    }


def share(ratio: Ratio) -> str:
    return f"**{ratio.median:.0%}** ({ratio.least:.0%}–{ratio.largest:.0%})"


def gib(size: float) -> str:
    return f"{size / (1 << 30):.2f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=12_288, help="side of the slide in pixels")
    parser.add_argument("--models", default=",".join(MODELS), help="networks, by commas")
    parser.add_argument("--slide", type=Path, help="folder of an earlier drawing, or where to keep this one")
    parser.add_argument("--write", action="store_true", help="write slides.md beside this script")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    keep_freed_memory()
    if given.child:
        task, root, *rest = given.child
        work = {
            "draw": lambda: draw(Path(root), int(rest[0])),
            "train": lambda: str(trained(rest[0], Path(root) / "runs")),
            "parts": lambda: parts(Path(root), rest[0], Path(rest[1])),
            "whole": lambda: whole(Path(root), rest[0], Path(rest[1])),
            "large": lambda: large_share(Path(root), rest[0]),
        }
        print(json.dumps(work[task]()))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        root = given.slide or Path(folder)
        record = root / "drawn.json"
        if not record.exists():
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(in_child("draw", str(root), str(given.size))))
        rows: dict[str, dict[str, Any]] = {}
        for model in given.models.split(","):
            learnt = str(root), model, in_child("train", str(root), model)
            rounds = [in_child("parts", *learnt)]
            wholes = []
            for _ in range(ROUNDS):
                wholes.append(in_child("whole", *learnt))
                rounds.append(in_child("parts", *learnt))
            rows[model] = middle_of(rounds) | middle_of(wholes)
            for part in ("network_s", "beside_s"):
                alone = [statistics.mean(each[part] for each in pair) for pair in pairwise(rounds)]
                rows[model][f"of_{part}"] = Ratio.of(alone, [each["predict_s"] for each in wholes])
            print(model, json.dumps(rows[model], default=str), flush=True)
        text = page(given.size, load, json.loads(record.read_text()), rows)
    print(text)
    if given.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
