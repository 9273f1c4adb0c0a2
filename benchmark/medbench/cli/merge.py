"""``medbench merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    shards: Annotated[list[Path], typer.Argument(help="Folders that --shard i/n left, all n of them.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the whole; the first shard's folder.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Of an evaluation: where its data lie now; else where they were found."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", "-p", help="Of an evaluation: where its predictions lie now."),
    ] = None,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Bring the shards of a study or an evaluation together: the same rows as one command without shards."""
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
