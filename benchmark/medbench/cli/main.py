"""The ``medbench`` command."""

from __future__ import annotations

import atexit
import copy
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from medbench.cli import (
    challenges,
    cite,
    compare,
    data,
    doctor,
    ensemble,
    evaluate,
    export,
    leaderboard,
    merge,
    metrics,
    models,
    predict,
    pretrain,
    profile,
    rank,
    report,
    retrieve,
    run,
    study,
    submit,
    summarize,
    train,
)
from medbench.cli.console import fail, speak_in_any_encoding
from medbench.cli.parsing import as_a_shell_does, with_home
from medbench.cli.usage import asks_for_help, usage_error
from medbench.core.first_process import is_first_process
from medbench.core.interruption import INTERRUPTED, REPEAT, exit_by_code
from medbench.core.machine import keep_freed_memory, sleep_while_waiting_on_busy_machines


class Application(typer.Typer):
    """The program, of whose commands a call builds the one that it names: all take a sixth of a start."""

    def __call__(self, words: Sequence[str], **settings: Any) -> Any:
        """Run the command that the words name."""
        own, verb = copy.copy(self), next(iter(words), "")
        commands = [command for command in self.registered_commands if command.name == verb]
        groups = [group for group in self.registered_groups if group.name == verb]
        if commands or groups:
            own.registered_commands, own.registered_groups = commands, groups
        return super(Application, own).__call__(words, **settings)


app = Application(
    name="medbench",
    help="Published medical-imaging models on challenges, scored as the organisers score them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_VERBS = (
    (run, "run", "Predict a split, score it officially, record it."),
    (train, "train", "Train a model on a challenge's training split."),
    (pretrain, "pretrain", "Pre-train a model on radiographs and reports."),
    (predict, "predict", "Predict a split in the challenge's format."),
    (retrieve, "retrieve", "Rank reports by similarity to radiographs."),
    (evaluate, "evaluate", "Score a folder of predictions."),
    (export, "export", "Write a network as ONNX, TorchScript, pt2 or safetensors."),
    (ensemble, "ensemble", "Predict with the networks of several runs, and score."),
    (models, "models", "List the models, or show one."),
    (challenges, "challenges", "List the challenges, or show one."),
    (metrics, "metrics", "List the metrics, show or compare them."),
    (data, "data", "Declare, check, prepare or export data; draw a sample."),
    (leaderboard, "leaderboard", "Tables and pages of measured and published results."),
    (study, "study", "Compare models on data sets with one training budget."),
    (merge, "merge", "Merge the results of --shard i/n."),
    (submit, "submit", "Build, lint, rehearse and save a submission."),
    (compare, "compare", "Paired tests between runs on the same cases."),
    (rank, "rank", "Rankings of runs, and the rankings' stability."),
    (report, "report", "Write the page of a finished run again."),
    (cite, "cite", "BibTeX and licences of models and challenges."),
    (summarize, "summarize", "Summarise your own video."),
    (profile, "profile", "Parameters, operations, memory and time of models."),
    (doctor, "doctor", "Check packages, devices and engines of this machine."),
)
for _module, _name, _summary in _VERBS:
    if hasattr(_module, "app"):
        app.add_typer(_module.app, name=_name, short_help=_summary)
    else:
        app.command(_name, short_help=_summary)(_module.command)


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
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Python file that registers models, challenges, metrics, platforms or tasks; repeatable.",
        ),
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
    keep_freed_memory()
    sleep_while_waiting_on_busy_machines()
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    if not debug:
        warnings.simplefilter("ignore")
    with _Interruption() as interruption:
        try:
            arguments = [as_a_shell_does(with_home(word)) for word in arguments]
            code = app(arguments, prog_name="medbench", standalone_mode=False)
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - errors are for people
            code = INTERRUPTED if interruption.came else _fail(error, arguments, debug)
    if code == INTERRUPTED:
        if is_first_process():
            typer.echo(REPEAT, err=True)
        exit_by_code()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code or 0)


class _Interruption:
    """Notes that Ctrl-C came: libraries that it meets while they are loaded may turn it into other errors."""

    def __init__(self) -> None:
        self.came = False
        self._is_ours = False

    def __enter__(self) -> _Interruption:
        is_first = threading.current_thread() is threading.main_thread()
        self._is_ours = is_first and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: object) -> None:
        self.came = True
        raise KeyboardInterrupt


def _fail(error: Exception, arguments: Sequence[str], debug: bool) -> int:
    """Tell an error; the exit code."""
    if asks_for_help(error):
        typer.echo(str(error.args[0]), err=True)
        return 2
    if hasattr(error, "format_message") and not debug:
        return fail(usage_error(error, arguments), debug)
    return fail(error, debug)
