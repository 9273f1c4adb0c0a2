"""``medbench run``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    model: arguments.Model,
    challenge: arguments.ChallengeName,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    weights: arguments.Weights = "auto",
    recipe: arguments.RecipeName = None,
    settings: arguments.Settings = None,
    device: arguments.Device = "cpu",
    precision: arguments.Precision = "fp32",
    batch_size: arguments.BatchSize = 8,
    image_size: arguments.ImageSize = None,
    cases: arguments.Cases = "*",
    seed: arguments.Seed = 0,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Where the time goes, phase by phase, and which one to fix.")
    ] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Predict a split, score it officially, record it and add it to the leaderboard; repeat to resume."""
    from medbench.cli.console import ConsoleProgress, parse_settings
    from medbench.cli.results import show_finished, show_phases
    from medbench.running.job import Inference
    from medbench.running.run import run

    finished = run(
        model,
        challenge,
        data=data,
        split=split,
        weights=weights,
        recipe=recipe,
        options=parse_settings(settings or []),
        inference=Inference(device, precision, batch_size, image_size),
        cases=cases,
        seed=seed,
        runs=runs,
        leaderboards=leaderboards,
        progress=ConsoleProgress(),
    )
    show_finished(finished, as_json)
    if profile:
        show_phases(finished)
    raise typer.Exit(finished.exit_code)
