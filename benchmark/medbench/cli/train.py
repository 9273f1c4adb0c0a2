"""``medbench train``."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted


def command(
    context: typer.Context,
    model: arguments.Model,
    challenge: arguments.ChallengeName,
    data: arguments.DataFolder = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Training split, or a split of several folds, which trains a network each; the challenge's "
            "default if not given.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="Recipe's name; the model family's on this challenge if not given."),
    ] = None,
    changes: arguments.RecipeChanges = None,
    settings: arguments.Settings = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="FILE|RUN", help="Weights to start from: a file, a training or a run."
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            "--freeze", metavar="PART", help="Part of the network that keeps those weights; repeatable."
        ),
    ] = None,
    accelerator: arguments.Accelerator = "auto",
    devices: arguments.Devices = "auto",
    nodes: arguments.Nodes = 1,
    precision: arguments.TrainingPrecision = "32",
    passes: Annotated[
        int,
        typer.Option(
            "--accumulate", min=1, help="Passes that share the recipe's batch; more need less memory."
        ),
    ] = 1,
    workers: arguments.ReadingWorkers = None,
    deterministic: arguments.Deterministic = None,
    force_precision: arguments.ForcePrecision = False,
    scheduler: arguments.Scheduler = None,
    runs: arguments.Runs = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print each setting with its source, and train nothing."),
    ] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Train a model on a challenge's training split by a recipe; repeat to resume."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.parsing import parse_devices, parse_settings
    from medbench.core.first_process import is_first_process
    from medbench.core.plugins import loaded_plugins
    from medbench.models import model_entry
    from medbench.training.hardware import Hardware

    hardware = Hardware(
        accelerator, parse_devices(devices), nodes, precision, workers, passes, deterministic, force_precision
    )
    hardware.check()
    from medbench.running.start import split_start
    from medbench.running.train import outline_training, train
    from medbench.training.result_files import training_summary

    plugins = "".join(f"--plugin {shlex.quote(str(path))} " for path in loaded_plugins())

    keywords: dict[str, Any] = {
        "data": data,
        "split": split,
        "recipe": recipe,
        "recipe_changes": parse_settings(changes or [], "--recipe-set epochs=3"),
        "options": parse_settings(settings or []),
        "init": init,
        "freeze": freeze or [],
    }
    if dry_run:
        refuse_ignored(context, ("scheduler",), "with --dry-run")
        outline = outline_training(model, challenge, runs=runs, hardware=hardware, **keywords)
        _print_outline(outline, as_json)
        return
    if scheduler is not None:
        from medbench.core.folders import runs_folder
        from medbench.running.training_orders import ClusterTraining, train_elsewhere

        keywords |= {"data": None if data is None else data.resolve(), "hardware": hardware}
        order = ClusterTraining(model, challenge, {**keywords, "runs": (runs or runs_folder()).resolve()})
        weights = train_elsewhere(order, scheduler, ConsoleProgress())
    else:
        weights = train(
            model, challenge, **keywords, hardware=hardware, runs=runs, progress=ConsoleProgress()
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
    unit = {1: "sequence", 2: "image", 3: "volume"}[model_entry(model).spatial_dims]
    steps = (
        f"{counted(summary['steps'], 'step')}, {held_out or 'no validation'}"
        if "steps" in summary
        else "no steps"
    )
    own_options, _ = split_start(keywords["options"])
    own_settings = [text for text in settings or [] if text.partition("=")[0] in own_options]
    options = "".join(f" --set {shlex.quote(text)}" for text in own_settings)
    place = "" if data is None else f" --data {shlex.quote(str(data))}"
    typer.echo(
        f"{weights}\n{counted(summary['n_training_images'], unit)}, {steps}.\n"
        f"next: medbench {plugins}run -m {shlex.quote(model)} -c {challenge}{options}{place}"
    )


def _print_outline(plan: dict[str, Any], as_json: bool) -> None:
    from medbench.cli.console import print_json, print_table

    if as_json:
        print_json(plan)
        return
    rows = [(name, str(entry["value"]), entry["source"]) for name, entry in plan["settings"].items()]
    start = plan["start"]
    value = start["value"] if isinstance(start["value"], str) else start["value"]["file"]
    title = f"{plan['model']} on {plan['challenge']}: recipe {plan['recipe']} ({plan['chosen_by']})"
    print_table(title, ("setting", "value", "source"), [*rows, ("start", value, start["source"])], wrap=(2,))
    typer.echo(plan["description"] + ".")
    if "authors" in start:
        typer.echo(f"The authors start from {start['authors']}.")
    if "start_parameters" in start:
        from medbench.running.start import start_line

        typer.echo(start_line(start))
