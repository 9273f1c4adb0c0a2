"""``medbench predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that gets a subfolder 'predictions'.")
    ],
    model: arguments.RequestedModel = None,
    challenge: arguments.RequestedChallenge = None,
    request_file: arguments.RequestFile = None,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    weights: arguments.Weights = "auto",
    recipe: arguments.RecipeName = None,
    settings: arguments.Settings = None,
    prompts: arguments.Prompts = None,
    device: arguments.Device = "auto",
    precision: arguments.Precision = "fp32",
    force_precision: arguments.ForcePrecision = False,
    batch_size: arguments.BatchSize = None,
    image_size: arguments.ImageSize = None,
    modalities: arguments.Modalities = None,
    overlap: arguments.Overlap = None,
    mirror: arguments.Mirror = None,
    tiling: arguments.Tiling = None,
    stitch: arguments.Stitch = False,
    cases: arguments.Cases = "*",
    memory_limit: arguments.MemoryLimit = None,
    seed: arguments.Seed = 0,
    runs: arguments.Runs = None,
) -> None:
    """Predict a split and write the challenge's format, without scoring; repeat to resume."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.request import request_options
    from medbench.running.predict import predict_request
    from medbench.running.request_file import request_of
    from medbench.running.zero_shot import zero_shot_options

    options = request_options(context)
    if prompts is not None:
        options = zero_shot_options(options, prompts)
    rows = predict_request(request_of(options), output, ConsoleProgress())
    failed = [row for row in rows if row.status != "ok"]
    typer.echo(f"{len(rows) - len(failed)} of {len(rows)} cases predicted in {output / 'predictions'}")
    raise typer.Exit(1 if failed else 0)
