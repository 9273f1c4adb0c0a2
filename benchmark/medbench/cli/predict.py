"""``medbench predict``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.errors import MedbenchError
from medbench.core.text import counted

if TYPE_CHECKING:
    from medbench.core.result_table import CaseRow

OF_CHALLENGE = (
    "data",
    "split",
    "recipe",
    "cases",
    "tiling",
    "stitch",
    "seed",
    "runs",
    "prompts",
    "modalities",
)
"""Options that have an effect with a challenge alone."""


def command(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that gets a subfolder 'predictions'.")
    ],
    model: arguments.RequestedModel = None,
    challenge: arguments.RequestedChallenge = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of images to predict without a challenge.", metavar="DIR"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", help="With --images: names or number of the classes, where the weights do not say."
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            "--values",
            help="With --images: black and white of images with more than 8 bits, e.g. 0,4095; else as the "
            "data say that the weights learnt.",
            metavar="LEAST,GREATEST",
        ),
    ] = None,
    request_file: arguments.RequestFile = None,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    weights: arguments.Weights = "auto",
    recipe: arguments.RecipeName = None,
    settings: arguments.Settings = None,
    contract: arguments.Contract = None,
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
    """Predict a split, or with --images a folder of images, without scoring; repeat to resume."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.request import request_options
    from medbench.running.predict import predict_request
    from medbench.running.request_file import request_of
    from medbench.running.zero_shot import zero_shot_options

    if images is not None:
        refuse_ignored(context, OF_CHALLENGE, "with --images", "Leave it out, or give -c CHALLENGE.")
    options = request_options(context)
    if prompts is not None:
        options = zero_shot_options(options, prompts)
    if images is not None:
        rows = _predict_images(options, (images, output), classes, values)
    else:
        refuse_ignored(context, ("classes", "values"), "with a challenge", "Leave it out, or give --images.")
        rows = predict_request(request_of(options), output, ConsoleProgress())
    failures = [row for row in rows if row.status != "ok"]
    n_predicted = f"{len(rows) - len(failures)} of {counted(len(rows), 'case')}"
    typer.echo(f"{n_predicted} predicted in {output / 'predictions'}")
    raise typer.Exit(1 if failures else 0)


def _predict_images(
    options: dict[str, Any], folders: tuple[Path, Path], classes: str | None, values: str | None
) -> Sequence[CaseRow]:
    """Predict a folder of images without a challenge."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.parsing import parse_classes, parse_values
    from medbench.core.writable import refuse_unwritable
    from medbench.running.predict_images import check_images, predict_images
    from medbench.running.predictors import load_predictor, say_fresh_weights
    from medbench.running.request_file import request_of

    if "challenge" in options:
        raise MedbenchError(
            "predict.either",
            "-c and --images exclude each other.",
            "Give -c to predict a challenge's cases, or --images to predict a folder.",
        )
    images, output = folders
    names, limits = parse_classes(classes), parse_values(values)
    check_images(images)
    refuse_unwritable(output, folder=True)
    request = request_of({**options, "challenge": "images"})
    predictor = load_predictor(
        request.model,
        weights="none" if request.weights == "auto" else request.weights,
        classes=names,
        options=request.options,
        inference=request.inference,
        folder=images,
        values=limits,
    )
    say_fresh_weights(request, predictor.network, ConsoleProgress())
    return predict_images(predictor, images, output, ConsoleProgress())
