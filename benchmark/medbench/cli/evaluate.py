"""``medbench evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    challenge: arguments.ChallengeName,
    predictions: Annotated[
        Path, typer.Option("--predictions", "-p", help="Folder of predictions, whoever made them.")
    ],
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    name: Annotated[str | None, typer.Option("--name", help="How the leaderboard calls the entry.")] = None,
    rename: Annotated[
        str | None,
        typer.Option(
            "--rename", metavar="OLD=NEW", help="A prediction is named as its reference with OLD replaced."
        ),
    ] = None,
    cases: arguments.Cases = "*",
    seed: arguments.Seed = 0,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Score a folder of predictions as the challenge's organisers do."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.results import show_finished
    from medbench.core.errors import MedbenchError
    from medbench.running.evaluate import evaluate

    pair = None
    if rename is not None:
        old, equals, new = rename.partition("=")
        if not equals or not old:
            raise MedbenchError(
                "option.malformed", f"'{rename}' is not OLD=NEW.", "For example --rename label_=out_."
            )
        pair = (old, new)
    finished = evaluate(
        challenge,
        predictions,
        data=data,
        split=split,
        name=name,
        rename=pair,
        cases=cases,
        seed=seed,
        runs=runs,
        leaderboards=leaderboards,
        progress=ConsoleProgress(),
    )
    show_finished(finished, as_json)
    raise typer.Exit(finished.exit_code)
