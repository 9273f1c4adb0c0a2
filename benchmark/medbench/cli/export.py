"""``medbench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored


def command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    format: Annotated[str, typer.Option("--format", help="onnx, torchscript, pt2 or safetensors.")] = "onnx",
    model: arguments.RequestedModel = None,
    challenge: arguments.RequestedChallenge = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", help="Names or number of the classes, where neither -c nor the weights say."
        ),
    ] = None,
    request_file: arguments.RequestFile = None,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    weights: arguments.Weights = "auto",
    recipe: arguments.RecipeName = None,
    settings: arguments.Settings = None,
    image_size: arguments.ImageSize = None,
    runs: arguments.Runs = None,
) -> None:
    """Export a network with its weights and input contract, and compare the file's logits with the network's.

    Use the file by -m file:FILE.
    """
    from typing import get_args

    from medbench.cli.console import ConsoleProgress
    from medbench.cli.parsing import parse_classes
    from medbench.cli.request import request_options
    from medbench.core.registry import unknown_name
    from medbench.running.export import Format, export
    from medbench.running.request_file import request_of

    if format not in get_args(Format):
        raise unknown_name("format", format, get_args(Format))
    options = request_options(context)
    if options.get("challenge"):
        refuse_ignored(context, ("classes",), "with a challenge", "The challenge's own classes are taken.")
    else:
        of_challenge = ("data", "split", "recipe", "runs")
        refuse_ignored(context, of_challenge, "without a challenge", "Leave it out, or give -c CHALLENGE.")
    request = request_of({"challenge": "", **options})
    parity = export(request, format, output, ConsoleProgress(), parse_classes(classes))  # type: ignore[arg-type]
    if parity is None:
        typer.echo(f"{output}: every weight is equal bit by bit")
        return
    typer.echo(
        f"{output}: logits differ by {parity.difference:.2g} at most, tolerance {parity.tolerance:.2g}; the "
        f"same class at {parity.agreement:.4%} of positions, on {parity.inputs}"
    )
