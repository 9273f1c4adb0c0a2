"""``medbench merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    shards: Annotated[list[Path], typer.Argument(help="Folders of all n shards.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the merged study; the first shard's if not given."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Evaluation only: folder of the release, if it has moved."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", "-p", help="Evaluation only: folder of the predictions, if it has moved."
        ),
    ] = None,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Merge the shards of a study or an evaluation; the rows are those of one command without --shard."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.results import show_finished
    from medbench.cli.study import show_board
    from medbench.running.evaluation_shards import holds_evaluation, merge_evaluation
    from medbench.studies.board_text import as_json as plain
    from medbench.studies.study import merge_study

    if holds_evaluation(shards[0]):
        places = {"data": data, "predictions": predictions, "runs": runs, "leaderboards": leaderboards}
        finished = merge_evaluation(shards, places, ConsoleProgress())
        show_finished(finished, as_json)
        raise typer.Exit(finished.exit_code)
    folder = (output or shards[0]).resolve()
    board = merge_study(shards, folder)
    if as_json:
        print_json({**plain(board), "folder": str(folder)})
    else:
        show_board(board, folder)
    raise typer.Exit(board.exit_code)
