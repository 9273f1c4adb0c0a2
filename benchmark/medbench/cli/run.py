"""``medbench run``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medbench.cli import arguments

ALL_COMBINATIONS = "all-combinations"


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
    batch_size: arguments.BatchSize = None,
    image_size: arguments.ImageSize = None,
    modalities: Annotated[
        str | None,
        typer.Option(
            "--modalities",
            help="Sequences that may be seen, e.g. t1,flair, or all-combinations for a table over all.",
        ),
    ] = None,
    overlap: arguments.Overlap = None,
    mirror: arguments.Mirror = None,
    tiling: arguments.Tiling = None,
    stitch: arguments.Stitch = False,
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
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.parsing import parse_names, parse_settings
    from medbench.cli.results import show_combinations, show_finished, show_phases
    from medbench.running.combinations import run_combinations
    from medbench.running.job import Inference
    from medbench.running.run import run

    every = modalities == ALL_COMBINATIONS
    seen = None if every else parse_names(modalities)
    inference = Inference(
        device,
        precision,
        batch_size,
        image_size,
        seen,
        overlap,
        mirror,
        parse_settings(tiling or []),
        stitch,
    )
    request: dict[str, Any] = {
        "data": data,
        "split": split,
        "weights": weights,
        "recipe": recipe,
        "options": parse_settings(settings or []),
        "inference": inference,
        "cases": cases,
        "seed": seed,
        "runs": runs,
        "leaderboards": leaderboards,
        "progress": ConsoleProgress(),
    }
    if every:
        combinations = run_combinations(model, challenge, **request)
        show_combinations(combinations, as_json)
        raise typer.Exit(combinations.exit_code)
    finished = run(model, challenge, **request)
    show_finished(finished, as_json)
    if profile:
        show_phases(finished)
    raise typer.Exit(finished.exit_code)
