"""``medbench run``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments

ALL_COMBINATIONS = "all-combinations"


def command(
    context: typer.Context,
    model: arguments.RequestedModel = None,
    challenge: arguments.RequestedChallenge = None,
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
    modalities: Annotated[
        str | None,
        typer.Option(
            "--modalities",
            help="Modalities that the model may see, e.g. t1,flair, or all-combinations for a table.",
        ),
    ] = None,
    overlap: arguments.Overlap = None,
    mirror: arguments.Mirror = None,
    tiling: arguments.Tiling = None,
    stitch: arguments.Stitch = False,
    cases: arguments.Cases = "*",
    workers: arguments.Workers = 1,
    scheduler: arguments.Scheduler = None,
    shard: arguments.ShardOf = None,
    memory_limit: arguments.MemoryLimit = None,
    seed: arguments.Seed = 0,
    repeats: arguments.Repeats = 1,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print the time by phase, and which phase to speed up.")
    ] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Predict a split, score it officially, record the run and add its row to the leaderboard.

    Repeat the same command to resume.
    """
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.request import request_options
    from medbench.cli.results import show_combinations, show_finished, show_phases, show_shard
    from medbench.core.errors import MedbenchError
    from medbench.running.combinations import combine_request
    from medbench.running.prediction_orders import Workers
    from medbench.running.request_file import request_of
    from medbench.running.run import run_request
    from medbench.running.run_shards import predict_shard
    from medbench.running.shard import Shard
    from medbench.running.zero_shot import zero_shot_options

    own, part = Workers(workers, scheduler), Shard.parse(shard) if shard else None
    options = request_options(context)
    if prompts is not None:
        options = zero_shot_options(options, prompts)
    every = options.get("modalities") == ALL_COMBINATIONS
    if every:
        del options["modalities"]
    request = request_of(options)
    if every and (own.elsewhere or part is not None):
        raise MedbenchError(
            "option.ignored",
            "--workers, --scheduler and --shard have no effect with --modalities all-combinations.",
            "Leave them out.",
        )
    if part is not None and profile:
        raise MedbenchError(
            "option.ignored",
            "--profile has no effect with --shard.",
            "Leave it out; medbench merge adds up times.",
        )
    if every:
        combinations = combine_request(request, ConsoleProgress())
        show_combinations(combinations, as_json)
        raise typer.Exit(combinations.exit_code)
    if part is not None:
        raise typer.Exit(show_shard(part, predict_shard(request, part, own, ConsoleProgress()), as_json))
    result = run_request(request, ConsoleProgress(), own)
    show_finished(result, as_json, request.leaderboards)
    if profile:
        show_phases(result)
    raise typer.Exit(result.exit_code)
