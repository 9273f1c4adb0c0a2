"""``medbench study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import agreeing, counted

if TYPE_CHECKING:
    from medbench.studies.board import StudyBoard


def command(
    context: typer.Context,
    study: Annotated[
        Path, typer.Argument(help="TOML file of data sets, models, recipes, seeds and a budget.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the study; studies/NAME in the folder of runs if not given."
        ),
    ] = None,
    workers: arguments.Workers = 1,
    scheduler: arguments.Scheduler = None,
    shard: arguments.ShardOf = None,
    device: arguments.Device = "auto",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="First run every cell on one step and one case, to find failures early."
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Repeat cells whose process died three times.")
    ] = False,
    cost_only: Annotated[
        bool, typer.Option("--cost", help="Print the study's expected cost, and stop.")
    ] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Train and score data sets × models × recipes × seeds × folds with one budget, and write a board.

    A combination is called a cell. Repeat to resume.
    """
    from medbench.cli.console import ConsoleProgress, print_json, print_table
    from medbench.models.devices import present_device
    from medbench.running.shard import Shard
    from medbench.studies.expected_costs import COST_HEADINGS, cost_rows, total_words
    from medbench.studies.study import Conditions, plan_study, run_study, study_folder

    if scheduler is not None:
        refuse_ignored(context, ("workers",), "with --scheduler", "The cluster's workers are taken.")
    if cost_only:
        refuse_ignored(context, ("output", "shard", "quick", "again", "as_json"), "with --cost")
    part = Shard.parse(shard) if shard else None
    local = present_device(device) if scheduler is None else device
    conditions = Conditions(output, local, workers, scheduler, part, quick, again)
    progress = ConsoleProgress()
    plan = plan_study(study, progress)
    title = f"{plan.title}: what it costs, {plan.budget} a training"
    print_table(title, COST_HEADINGS, cost_rows(plan.costs), wrap=(1,), error=True)
    typer.echo(total_words(plan.costs), err=True)
    if cost_only:
        return
    folder = study_folder(study, conditions)
    board = run_study(plan, folder, conditions, progress)
    if as_json:
        from medbench.studies.board_text import as_json as plain

        print_json({**plain(board), "folder": str(folder)})
    else:
        show_board(board, folder, part is not None)
    raise typer.Exit(board.exit_code if part is None else _part_code(board))


def _part_code(board: StudyBoard) -> int:
    """0 where every cell that has ended is done, else 1."""
    return int(any(outcome.status != "ok" for outcome in board.outcomes))


def show_board(board: StudyBoard, folder: Path, is_part: bool = False) -> None:
    """Print a study's board, or of one of its shards what is done."""
    from medbench.cli.console import print_table
    from medbench.studies.board_text import NOTES, tables

    n_ok = sum(outcome.status == "ok" for outcome in board.outcomes)
    if not is_part:
        for population in board.populations:
            for table in tables(population):
                print_table(table.title, table.headings, table.rows, wrap=(0,))
        for note in NOTES:
            typer.echo(note)
    are = agreeing(n_ok, "is", "are")
    typer.echo(f"{n_ok} of {counted(board.cells, 'cell')} {are} done; {len(board.outcomes) - n_ok} failed.")
    if is_part:
        typer.echo(f"Shard: {folder}; bring all shards together with medbench merge.")
    else:
        typer.echo(f"Board: {folder / 'board.md'}")
