"""``medbench ensemble``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    parents: Annotated[list[str], typer.Argument(metavar="RUN RUN …", help="Folders or keys of runs.")],
    data: arguments.DataFolder = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="auto, cpu, cuda, cuda:N or mps; each run's own if not given.",
            callback=arguments.known_device,
        ),
    ] = None,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Combine the predictions of several runs' networks by vote or mean; score and record them as a run."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.results import show_finished
    from medbench.running.ensemble import EnsembleRequest, run_ensemble

    result = run_ensemble(
        EnsembleRequest(tuple(parents), data, device, runs, leaderboards), ConsoleProgress()
    )
    show_finished(result, as_json, leaderboards)
    raise typer.Exit(result.exit_code)
