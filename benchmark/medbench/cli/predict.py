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
    contract: arguments.Contract = None,
    device: arguments.Device = "cpu",
    precision: arguments.Precision = "fp32",
    batch_size: arguments.BatchSize = None,
    image_size: arguments.ImageSize = None,
    modalities: arguments.Modalities = None,
    overlap: arguments.Overlap = None,
    mirror: arguments.Mirror = None,
    tiling: arguments.Tiling = None,
    stitch: arguments.Stitch = False,
    cases: arguments.Cases = "*",
    seed: arguments.Seed = 0,
    runs: arguments.Runs = None,
) -> None:
    """Predict a split and write the challenge's format, without scoring; repeat to resume."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.request import request_options
    from medbench.running.predict import predict_request
    from medbench.running.request_file import request_of

    rows = predict_request(request_of(request_options(context)), output, ConsoleProgress())
    failed = [row for row in rows if row.status != "ok"]
    typer.echo(f"{len(rows) - len(failed)} of {len(rows)} cases predicted in {output / 'predictions'}")
    raise typer.Exit(1 if failed else 0)
