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
    as_json: arguments.AsJson = False,
) -> None:
    """Bring the shards of a study together; the board is the same, to the byte, as without shards."""
    from medbench.cli.console import print_json
    from medbench.cli.study import show_board
    from medbench.studies.board_text import as_json as plain
    from medbench.studies.study import merge_study

    folder = (output or shards[0]).resolve()
    board = merge_study(shards, folder)
    if as_json:
        print_json({**plain(board), "folder": str(folder)})
    else:
        show_board(board, folder)
    raise typer.Exit(board.exit_code)
