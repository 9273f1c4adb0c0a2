"""``medbench train``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    model: arguments.Model,
    challenge: arguments.ChallengeName,
    data: arguments.DataFolder = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Training split; the challenge's default if not given.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="default, quick, official …")] = "default",
    changes: Annotated[
        list[str] | None,
        typer.Option("--recipe-set", metavar="NAME=VALUE", help="Recipe setting to change; repeatable."),
    ] = None,
    settings: arguments.Settings = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[
        str, typer.Option("--devices", help="Number of devices on each node, or auto.")
    ] = "auto",
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Number of machines.")] = 1,
    precision: Annotated[str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed.")] = "32",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Number of processes that read images.")
    ] = 0,
    runs: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Train a model on a challenge's training split by a recipe; repeat to resume."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.parsing import parse_settings
    from medbench.models import model_entry
    from medbench.running.train import train
    from medbench.training.fit import Hardware, is_first_process, training_summary

    weights = train(
        model,
        challenge,
        data=data,
        split=split,
        recipe=recipe,
        recipe_changes=parse_settings(changes or []),
        options=parse_settings(settings or []),
        hardware=Hardware(
            accelerator, int(devices) if devices.isdigit() else devices, nodes, precision, workers
        ),
        runs=runs,
        progress=ConsoleProgress(),
    )
    if not is_first_process():
        return
    summary = training_summary(weights.parent)
    assert summary is not None
    if as_json:
        print_json({"weights": str(weights), **summary})
        return
    if summary["data"] == "sample":
        typer.echo("Trained on the synthetic sample: the weights are of no use on real data.")
    held_out = ", ".join(
        f"best {name.replace('_', ' ')} {value:.4f}"
        for name, value in summary.items()
        if name.startswith("validation_") and value is not None
    )
    unit = {1: "sequences", 2: "images", 3: "volumes"}[model_entry(model).spatial_dims]
    typer.echo(
        f"{weights}\n{summary['n_training_images']} {unit}, {summary['steps']} steps, "
        f"{held_out or 'no validation'}; medbench run finds these weights by itself."
    )
