"""``medbench merge``."""

from __future__ import annotations

from collections.abc import Mapping
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
        typer.Option("--data", help="Run or evaluation: folder of the release, if it has moved."),
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
    """Merge the shards of a run, a study or an evaluation; the files are those of one command."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.results import show_finished
    from medbench.cli.study import show_board
    from medbench.running.evaluation_shards import holds_evaluation, merge_evaluation
    from medbench.running.run_shards import holds_run, merge_run
    from medbench.studies.board_text import as_json as plain
    from medbench.studies.study import merge_study

    of_run, of_evaluation = holds_run(shards[0]), holds_evaluation(shards[0])
    places = {"data": data, "predictions": predictions, "runs": runs, "leaderboards": leaderboards}
    if of_run or of_evaluation:
        _refuse_ignored({"output": output, **({"predictions": predictions} if of_run else {})}, of_run)
        merge = merge_run if of_run else merge_evaluation
        result = merge(shards, places, ConsoleProgress())
        show_finished(result, as_json, leaderboards)
        raise typer.Exit(result.exit_code)
    _refuse_ignored(places)
    folder = (output or shards[0]).resolve()
    board = merge_study(shards, folder)
    if as_json:
        print_json({**plain(board), "folder": str(folder)})
    else:
        show_board(board, folder)
    raise typer.Exit(board.exit_code)


def _refuse_ignored(options: Mapping[str, Path | None], of_run: bool | None = None) -> None:
    """Refuse options that would have no effect on shards of that kind.

    Raises:
        MedbenchError: ``option.ignored``.
    """
    from medbench.core.errors import MedbenchError

    name = next((name for name, value in options.items() if value is not None), None)
    if name is None:
        return
    kind = "a study" if of_run is None else "a run" if of_run else "an evaluation"
    hint = "The whole goes to --runs, by its key." if name == "output" else "Leave it out."
    raise MedbenchError("option.ignored", f"--{name} has no effect on shards of {kind}.", hint)
