"""``medbench pretrain``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from medbench.cli import arguments
from medbench.core.text import counted

FIGURES = {
    "retrieval": "own report first of 16",
    "linear_probe": "linear probe, AUROC",
    "random_probe": "of a random encoder",
    "probe_difference": "difference",
}


def command(
    model: arguments.Model = "cm_cgns",
    data: arguments.DataFolder = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="default, quick …; quick on the sample if not given.")
    ] = None,
    changes: arguments.RecipeChanges = None,
    settings: arguments.Settings = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Local tokenizer folder; else a vocabulary is made.")
    ] = None,
    text_weights: Annotated[
        Path | None, typer.Option("--text-weights", help="Local folder of a BERT; else random weights.")
    ] = None,
    image_weights: Annotated[
        Path | None, typer.Option("--image-weights", help="File of the image encoder; else random weights.")
    ] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Train with each idea of the paper switched off, and compare.")
    ] = False,
    accelerator: arguments.Accelerator = "auto",
    devices: arguments.Devices = "auto",
    nodes: arguments.Nodes = 1,
    precision: arguments.TrainingPrecision = "32",
    workers: arguments.ReadingWorkers = None,
    deterministic: arguments.Deterministic = None,
    force_precision: arguments.ForcePrecision = False,
    runs: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Pre-train a model on pairs of radiograph and report by a recipe; repeat to resume."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.parsing import parse_devices, parse_settings
    from medbench.core.first_process import is_first_process
    from medbench.running.pretrain import PretrainRequest, ablate, pretrain
    from medbench.training.hardware import Hardware
    from medbench.training.result_files import training_summary

    request = PretrainRequest(
        model=model,
        data=data,
        recipe=recipe,
        recipe_changes=parse_settings(changes or [], "--recipe-set epochs=3"),
        options=parse_settings(settings or []),
        tokenizer=tokenizer,
        text_weights=text_weights,
        image_weights=image_weights,
        runs=runs,
    )
    hardware = Hardware(
        accelerator,
        parse_devices(devices),
        nodes,
        precision,
        workers,
        deterministic=deterministic,
        force_precision=force_precision,
    )
    if ablation:
        rows = ablate(request, hardware, ConsoleProgress())
        if is_first_process():
            print_json(rows) if as_json else _show(rows)
        return
    weights = pretrain(request, hardware, ConsoleProgress())
    if not is_first_process():
        return
    summary = training_summary(weights.parent)
    assert summary is not None
    if as_json:
        print_json({"weights": str(weights), **summary})
        return
    if summary["data"] == "sample":
        typer.echo("Pre-trained on the synthetic sample: the weights are of no use on real data.")
    _show({"this pre-training": summary["evaluation"]})
    typer.echo(
        f"{weights}\n{counted(summary['n_training_images'], 'pair')}; "
        "medbench retrieve and medbench predict --prompts find these weights by themselves."
    )


def _show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    from medbench.cli.console import print_table

    table = [(row, *(_cell(figures.get(name)) for name in FIGURES)) for row, figures in rows.items()]
    print_table("Figures on pairs that are held out, with 95 % intervals", ("", *FIGURES.values()), table)


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    ends = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{ends}"
