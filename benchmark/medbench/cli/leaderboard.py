"""``medbench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted

if TYPE_CHECKING:
    from medbench.leaderboards.boards import Table
    from medbench.leaderboards.verification import Verification

LONGEST_SOURCE = 60

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
    """Write each challenge's README.md, index.html, tables.tex and values.csv, and the boards' index.

    A board that cannot be written is told and leaves the others alone; the index says what is wrong with it.
    """
    from medbench.cli.console import print_error, print_json
    from medbench.core.errors import MedbenchError
    from medbench.core.folders import leaderboards_folder, runs_folder
    from medbench.leaderboards.results import build_board, require_measured, write_index

    folder = leaderboards or leaderboards_folder()
    names = challenges or require_measured(folder)
    paths, errors = list[Path](), dict[str, MedbenchError]()
    for name in names:
        try:
            paths += build_board(folder, name, runs or runs_folder())
        except MedbenchError as error:
            errors[name] = error
    if challenges and not paths and len(errors) == 1:
        raise errors[names[0]]
    index, without_table = write_index(folder)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        typer.echo("\n".join(map(str, [*paths, index])))
    for each in ({board.challenge: board.error for board in without_table} | errors).values():
        print_error(each)
    raise typer.Exit(1 if errors or without_table else 0)


@app.command("verify", short_help="Check every row and page against its evidence.")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Challenges, or keys of rows; all challenges with rows if not given."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Score the cases again on this release; else on MEDBENCH_DATA/<challenge>."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Folder of run directories, or of the one named row's predictions."
        ),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the rows' networks again by their own commands.")
    ] = False,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Verify boards from their evidence: every hash, value, interval, count, rank and page.

    With --data and --predictions, cases are scored again; with --retrain, networks are trained again.
    """
    import dataclasses

    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.core.folders import leaderboards_folder
    from medbench.running.verify import Again, verify

    again = Again(data=data, predictions=predictions, retrain=retrain)
    reports = verify(names or (), leaderboards or leaderboards_folder(), again, ConsoleProgress())
    if as_json:
        print_json([{**dataclasses.asdict(r), "findings": [str(f) for f in r.findings]} for r in reports])
    for report in reports if not as_json else ():
        for finding in report.findings:
            typer.echo(str(finding))
        for note in report.notes:
            typer.echo(f"Note: {note}.")
        typer.echo(_verdict(report))
    if any(report.findings for report in reports):
        raise typer.Exit(1)


def _verdict(report: Verification) -> str:
    """What was verified of a board, and the number of findings, in one line."""
    parts = [counted(report.rows, "row"), f"{counted(report.cells, 'cell')} computed again"]
    parts += [f"{counted(report.pages, 'page')} compared"] if report.pages else []
    parts += [f"{counted(report.scored_again, 'case')} scored again"] if report.scored_again else []
    parts += [f"{counted(report.trained_again, 'network')} trained again"] if report.trained_again else []
    wrong = counted(len(report.findings), "finding") if report.findings else "all as the evidence gives them"
    return f"{report.challenge}: {', '.join(parts)}: {wrong}."


@app.command("merge", short_help="Join the boards of several machines.")
def merge(
    others: Annotated[list[Path], typer.Argument(help="Folders of leaderboards of other machines.")],
    leaderboards: arguments.Leaderboards = None,
) -> None:
    """Join the boards of several machines: rows with their evidence, and profiles.

    A board that cannot be joined is told and leaves the others alone.
    """
    from medbench.cli.console import print_error
    from medbench.core.folders import leaderboards_folder
    from medbench.leaderboards.merge import merge

    boards = merge(leaderboards or leaderboards_folder(), others)
    for board in boards:
        if board.refusal is not None:
            print_error(board.refusal)
            continue
        old = f"{board.old} {'was' if board.old == 1 else 'were'} here already"
        typer.echo(f"{board.challenge}: {counted(board.new, 'row')} added, {old}.")
    raise typer.Exit(1 if any(board.refusal for board in boards) else 0)


@app.command("references", short_help="Score reference rows, such as chance or people.")
def references(
    challenge: arguments.ChallengeName,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    seed: arguments.ResamplingSeed = 0,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
) -> None:
    """Score a challenge's reference rows, such as chance or human annotators, which tables show unranked."""
    from medbench.cli.console import ConsoleProgress
    from medbench.core.folders import leaderboards_folder
    from medbench.running.references import build_references
    from medbench.running.request import CaseRequest

    request = CaseRequest(
        challenge=challenge, data=data, split=split, seed=seed, runs=runs, leaderboards=leaderboards
    )
    build_references(request, ConsoleProgress())
    typer.echo((leaderboards or leaderboards_folder()) / challenge / "README.md")


def _numbered_sources(rows: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Rows with the number of their source as last cell, and the sources by number; short ones stay."""
    sources = list(dict.fromkeys(row[-1] for row in rows))
    if len(sources) == len(rows) and max(map(len, sources)) <= LONGEST_SOURCE:
        return rows, []
    with_numbers = [[*row[:-1], f"[{sources.index(row[-1]) + 1}]"] for row in rows]
    return with_numbers, [f"[{number}] {source}" for number, source in enumerate(sources, 1)]


def _without_equal_losses(
    names: list[str], rows: list[list[str]]
) -> tuple[list[str], list[list[str]], list[str]]:
    """A table without its column of failed and missing cases, where a line says as much of all rows."""
    from medbench.leaderboards.table_text import LOST

    place = names.index(LOST)
    losses = {row[place] for row in rows}
    if len(losses) != 1:
        return names, rows, []
    left, right = slice(place), slice(place + 1, None)
    line = f"{LOST.capitalize()} in every row: {losses.pop()}."
    return names[left] + names[right], [row[left] + row[right] for row in rows], [line]


@app.command("show", short_help="Print a challenge's tables.")
def show(
    context: typer.Context,
    challenge: arguments.ShownChallenge,
    form: Annotated[
        str, typer.Option("--format", "-f", help="table, markdown, latex, csv or html.")
    ] = "table",
    leaderboards: arguments.Leaderboards = None,
    runs: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Print a challenge's tables: measured on real data, on the sample, published; never mixed."""
    from medbench.cli.console import print_json
    from medbench.core.folders import leaderboards_folder, runs_folder
    from medbench.core.registry import unknown_name
    from medbench.leaderboards.rendering import FORMATS
    from medbench.leaderboards.results import load_board
    from medbench.leaderboards.table_text import notes

    if as_json:
        refuse_ignored(context, ("form",), "with --json", "Leave one of the two out.")
    if form not in ("table", *FORMATS):
        raise unknown_name("format", form, ("table", *FORMATS))
    board = load_board(leaderboards or leaderboards_folder(), challenge, runs or runs_folder())
    if as_json:
        print_json(board.as_json())
    elif form != "table":
        typer.echo(FORMATS[form][1](board), nl=False)
    else:
        for table in board.tables:
            _print_table(board.title, table)
        for note in notes(board):
            typer.echo(note)


def _print_table(title: str, whole: Table) -> None:
    """Print a table with its headline columns; the costs apart where there is no room beside them."""
    import dataclasses

    from medbench.cli.console import fits, print_table
    from medbench.leaderboards.table_text import cells, facts, headings

    short = tuple(metric for metric in whole.metrics if metric.headline) or whole.metrics
    table = dataclasses.replace(whole, metrics=short)
    wrap = [len(short) + 1] if table.kind == "published" else [1]
    rows = [cells(table, entry) for entry in table.entries]
    apart = bool(table.cost_headings) and not fits(headings(table), rows, wrap)
    if apart:
        table = dataclasses.replace(table, cost_headings=())
        rows = [cells(table, dataclasses.replace(entry, costs=())) for entry in table.entries]
    names, lines = headings(table), list[str]()
    if table.kind == "published":
        rows, lines = _numbered_sources(rows)
    elif not fits(names, rows, wrap):
        names, rows, lines = _without_equal_losses(names, rows)
    print_table(f"{title}. {table.title}", names, rows, wrap=wrap)
    for line in lines:
        typer.echo(line)
    if apart:
        costs = [(row[-1], *entry.costs) for row, entry in zip(rows, whole.entries, strict=True)]
        print_table("Costs of these rows", ("run", *whole.cost_headings), costs)
    for fact in facts(table):
        typer.echo(fact)
    if len(short) < len(whole.metrics):
        further = counted(len(whole.metrics) - len(short), "further column")
        typer.echo(f"{further} in --format markdown, latex, csv and html.")
