"""``medbench leaderboard``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments

app = typer.Typer(no_args_is_help=True, help="Tables and pages of measured and published results.")


@app.command("build", short_help="Write the tables and pages of the boards.")
def build(
    challenges: Annotated[
        list[str] | None, typer.Argument(help="Challenges; all that have results if not given.")
    ] = None,
    leaderboards: arguments.Leaderboards = None,
    runs: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Write README.md, index.html, tables.tex and values.csv of each challenge from its results.jsonl."""
    from medbench.cli.console import print_json
    from medbench.core.errors import MedbenchError
    from medbench.core.folders import leaderboards_folder, runs_folder
    from medbench.leaderboards.results import build_board, measured_challenges

    folder = leaderboards or leaderboards_folder()
    names = challenges or measured_challenges(folder)
    if not names:
        raise MedbenchError(
            "leaderboard.empty", f"{folder}: holds no results.", "Run a model first, or name a challenge."
        )
    paths = [path for name in names for path in build_board(folder, name, runs or runs_folder())]
    if as_json:
        print_json([str(path) for path in paths])
    else:
        typer.echo("\n".join(map(str, paths)))


@app.command("references", short_help="Score the rows shown beside every model.")
def references(
    challenge: arguments.ChallengeName,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    seed: arguments.Seed = 0,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
) -> None:
    """Score the rows that every table of a challenge shows beside models: chance, people …"""
    from medbench.cli.console import ConsoleProgress
    from medbench.core.folders import leaderboards_folder
    from medbench.running.references import build_references
    from medbench.running.request import CaseRequest

    request = CaseRequest(
        challenge=challenge, data=data, split=split, seed=seed, runs=runs, leaderboards=leaderboards
    )
    build_references(request, ConsoleProgress())
    typer.echo((leaderboards or leaderboards_folder()) / challenge / "README.md")


@app.command("show", short_help="Print a challenge's tables.")
def show(
    challenge: str,
    form: Annotated[
        str, typer.Option("--format", "-f", help="table, markdown, latex, csv or html.")
    ] = "table",
    leaderboards: arguments.Leaderboards = None,
    runs: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Print a challenge's tables: measured on real data, on the sample, published; never mixed."""
    import dataclasses

    from medbench.cli.console import print_json, print_table
    from medbench.core.folders import leaderboards_folder, runs_folder
    from medbench.core.registry import unknown_name
    from medbench.leaderboards.rendering import FORMATS, cells, headings, notes
    from medbench.leaderboards.results import load_board

    if form not in ("table", *FORMATS):
        raise unknown_name("format", form, ("table", *FORMATS))
    board = load_board(leaderboards or leaderboards_folder(), challenge, runs or runs_folder())
    if as_json:
        print_json(dataclasses.asdict(board))
    elif form != "table":
        typer.echo(FORMATS[form][1](board), nl=False)
    else:
        for whole in board.tables:
            short = tuple(metric for metric in whole.metrics if metric.headline) or whole.metrics
            table = dataclasses.replace(whole, metrics=short)
            last = len(short) + 1
            rows = [cells(table, entry) for entry in table.entries]
            wrap = [last, last + 1] if table.kind == "published" else []
            print_table(f"{board.title}. {table.title}", headings(table), rows, wrap=wrap)
            if len(short) < len(whole.metrics):
                typer.echo(f"{len(whole.metrics) - len(short)} further columns in the other formats.")
        typer.echo("\n".join(notes(board)))
