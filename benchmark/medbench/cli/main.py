"""The ``medbench`` command."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from medbench.cli import (
    challenges,
    cite,
    compare,
    data,
    doctor,
    evaluate,
    leaderboard,
    metrics,
    models,
    predict,
    pretrain,
    profile,
    rank,
    report,
    retrieve,
    run,
    submit,
    summarize,
    train,
)
from medbench.cli.console import fail, speak_in_any_encoding
from medbench.cli.parsing import with_home

app = typer.Typer(
    name="medbench",
    help="Published medical-imaging models on challenges, scored as the organisers score them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run")(run.command)
app.command("train")(train.command)
app.command("pretrain")(pretrain.command)
app.command("predict")(predict.command)
app.command("retrieve")(retrieve.command)
app.command("evaluate")(evaluate.command)
app.add_typer(models.app, name="models")
app.add_typer(challenges.app, name="challenges")
app.add_typer(metrics.app, name="metrics")
app.add_typer(data.app, name="data")
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(submit.app, name="submit")
app.command("compare")(compare.command)
app.command("rank")(rank.command)
app.command("report")(report.command)
app.command("cite")(cite.command)
app.command("summarize")(summarize.command)
app.command("profile")(profile.command)
app.command("doctor")(doctor.command)


def _version(version_flag: bool) -> None:
    if version_flag:
        from importlib.metadata import version

        typer.echo(f"medbench {version('medbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", help="Python file that registers models, challenges or metrics."),
    ] = None,
) -> None:
    """Global options."""
    from pathlib import Path

    from medbench.core.plugins import load_plugin

    for file in plugin or []:
        load_plugin(Path(file))


def main() -> None:
    """Entry point: exit code 0 done, 1 some cases failed, 2 the request cannot be met, 130 interrupted."""
    speak_in_any_encoding()
    debug = "--debug" in sys.argv
    arguments = [with_home(argument) for argument in sys.argv[1:] if argument != "--debug"]
    if not debug:
        warnings.simplefilter("ignore")
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("Interrupted. Repeat the command to go on.", err=True)
        code = 130
    except Exception as error:  # noqa: BLE001 - errors are for people
        if hasattr(error, "format_message") and not debug:
            error.show() if hasattr(error, "show") else typer.echo(error.format_message(), err=True)
            code = 2
        else:
            code = fail(error, debug)
    sys.exit(code or 0)
