"""Options that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

LEAST_LIMIT_BYTES = 1 << 20


def known_device(name: str | None) -> str | None:
    """The name of a device as it is.

    Raises:
        MedbenchError: ``device.unknown`` for a name that no device has, before anything else is looked at.
    """
    from medbench.models.devices import check_device_name

    if name is not None:
        check_device_name(name)
    return name


def known_devices(names: str) -> str:
    """Comma-separated names of devices, or ``all``, as they are.

    Raises:
        MedbenchError: as :func:`known_device`.
    """
    for name in names.split(","):
        if name.strip() != "all":
            known_device(name.strip())
    return names


Model = Annotated[str, typer.Option("--model", "-m", help="Model name; see 'medbench models'.")]
ChallengeName = Annotated[
    str, typer.Option("--challenge", "-c", help="Challenge name; see 'medbench challenges'.")
]
RequestedModel = Annotated[
    str | None, typer.Option("--model", "-m", help="Model name; see 'medbench models'.")
]
RequestedChallenge = Annotated[
    str | None, typer.Option("--challenge", "-c", help="Challenge name; see 'medbench challenges'.")
]
RequestFile = Annotated[
    Path | None,
    typer.Option(
        "--request",
        help='TOML file of options by name (model = "…"); options of the command line override it.',
        metavar="FILE",
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of the release; else MEDBENCH_DATA/<challenge>, else the synthetic sample.",
    ),
]
RunData = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the run's data, if it has moved; else where the run found it."),
]
Split = Annotated[str | None, typer.Option("--split", help="Split; the challenge's default if not given.")]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        help="Checkpoint file, 'auto' (the last training on these data), or 'none' (fresh weights).",
    ),
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="With --weights auto: recipe of the training to use.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Model option as name=value; repeatable.", metavar="NAME=VALUE"),
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option("--recipe-set", metavar="NAME=VALUE", help="Recipe setting to change; repeatable."),
]
Accelerator = Annotated[
    str,
    typer.Option("--device", "--accelerator", help="auto, cpu, cuda, cuda:N or mps.", callback=known_device),
]
Devices = Annotated[
    str, typer.Option("--devices", help="Devices on each node, or auto; they share the recipe's batch.")
]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Number of machines.")]
TrainingPrecision = Annotated[str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed.")]
ReadingWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, help="Processes a device that read images; none on the CPU, else up to 8."
    ),
]
Deterministic = Annotated[
    bool | None,
    typer.Option(
        "--deterministic/--fast",
        help="Deterministic algorithms without TF32, or the fastest; the CPU is deterministic.",
    ),
]
Contract = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="Input contract of -m file:…: a TOML file, or size=256,channels=3,mean=0:0:0,std=1:1:1.",
        metavar="FILE|NAME=VALUE,…",
    ),
]
Repeats = Annotated[
    int,
    typer.Option(
        "--repeats",
        min=1,
        help="Number of networks, with successive seeds; reports their mean and spread.",
    ),
]
Sampling = Annotated[
    str, typer.Option("--sampling", help="Frames to compute features of: every_15th or two_a_second.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto (CUDA where there is one, else CPU), cpu, cuda, cuda:N or mps.",
        callback=known_device,
    ),
]
ForcePrecision = Annotated[
    bool, typer.Option("--force-precision", help="Accept a precision that the processor only emulates.")
]
Precision = Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16; tf32 on CUDA.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Images per forward pass, default 8; for volumes sliding windows, default 1.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        min=16,
        help="Side in pixels or voxels of the network's input; as in training if not given.",
    ),
]
Modalities = Annotated[
    str | None,
    typer.Option("--modalities", help="Modalities that the model may see, e.g. t1,flair; else all."),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        "--overlap",
        help="Fraction by which neighbouring sliding windows overlap, 0 ≤ x < 1; default 0.5. Volumes only.",
    ),
]
Mirror = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror",
        help="Average predictions over mirrored inputs; if not given, nnU-Net alone does.",
    ),
]
Tiling = Annotated[
    list[str] | None,
    typer.Option(
        "--tiling",
        help="Whole-slide setting: tile_px, margin_px, blend_px, tissue, min_object_px, max_hole_px.",
        metavar="NAME=PIXELS",
    ),
]
Stitch = Annotated[
    bool, typer.Option("--stitch", help="Average the predictions of overlapping patches of one slide.")
]
Cases = Annotated[str, typer.Option("--cases", help="Shell-style pattern: only cases whose id matches it.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of fresh weights and of the resampling.")]
ResamplingSeed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of the resampling for intervals and tests.")
]
ShownChallenge = Annotated[str, typer.Argument(help="Challenge name; see 'medbench challenges'.")]
Runs = Annotated[
    Path | None, typer.Option("--runs", help="Folder of run directories (MEDBENCH_RUNS, ./runs).")
]
Leaderboards = Annotated[
    Path | None,
    typer.Option("--leaderboards", help="Folder of leaderboards (MEDBENCH_LEADERBOARDS, ./leaderboards)."),
]


def _limit_memory(text: str | None) -> str | None:
    """Set the limit for this process and those that it starts.

    Raises:
        MedbenchError: ``profile.bytes`` for what is no amount, or too little for any image.
    """
    if text:
        from medbench.core.errors import MedbenchError
        from medbench.io.gate.expected import LIMIT_VARIABLE
        from medbench.profiling.requests import parse_bytes

        limit = parse_bytes(text)
        if limit < LEAST_LIMIT_BYTES:
            raise MedbenchError(
                "profile.bytes",
                f"--memory-limit {text} is {limit:,} bytes, too little for any image.",
                "Give the unit, for example 8GiB; the least is 1MiB.",
            )
        os.environ[LIMIT_VARIABLE] = str(limit)
    return text


def page_place(path: Path | None) -> Path | None:
    """The path of a page to write, a file in a folder that is there: a misspelt one makes no folders.

    Raises:
        MedbenchError: ``output.folder``, ``output.unwritable``, or ``output.exists`` for a file that is no
            page.
    """
    from medbench.core.errors import MedbenchError
    from medbench.core.folders import at_home
    from medbench.core.writable import refuse_unwritable

    if path is None:
        return None
    place = at_home(path)
    if place.is_dir():
        raise MedbenchError("output.folder", f"{path}: is a folder, not a page.", "Name a file: page.html.")
    if not place.parent.is_dir():
        raise MedbenchError(
            "output.folder", f"{path}: there is no folder {path.parent}.", "Make it, or write elsewhere."
        )
    if place.exists() and place.suffix.lower() not in (".html", ".htm"):
        raise MedbenchError(
            "output.exists",
            f"{path}: is there already, and its name is no page's.",
            "Name a file that ends in .html.",
        )
    refuse_unwritable(place)
    return path


MemoryLimit = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        callback=_limit_memory,
        help="Memory limit for reading one file, e.g. 8GiB; 2GiB if not given.",
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Number of processes on this machine, a device each.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Address of a dask scheduler, whose workers do the work.", metavar="ADDRESS"
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option("--shard", help="Only the i-th of n parts; 'medbench merge' joins them.", metavar="i/n"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Prompts = Annotated[
    Path | None,
    typer.Option("--prompts", help="TOML file with prompts of each class, for a pre-trained model."),
]
