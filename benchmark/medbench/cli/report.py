"""``medbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    run: Annotated[
        str,
        typer.Argument(
            help="Run folder, its record.json, or the beginning of the key of a run or leaderboard row."
        ),
    ],
    data: arguments.RunData = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Folder of the predictions, where 'medbench evaluate' scored them."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=arguments.page_place,
            help="Page to write; report.html in the run's folder if not given.",
        ),
    ] = None,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
) -> None:
    """Write the report of a finished run again: scores, failures, worst cases with outlines, provenance."""
    from medbench.cli.console import ConsoleProgress
    from medbench.running.report import report

    page = report(
        run,
        data=data,
        predictions=predictions,
        output=output,
        runs=runs,
        leaderboards=leaderboards,
        progress=ConsoleProgress(),
    )
    typer.echo(f"Report: {page}")
