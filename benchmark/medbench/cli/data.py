"""``medbench data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments

app = typer.Typer(no_args_is_help=True, help="Draw a challenge's synthetic sample, or check a real copy.")


@app.command("sample")
def sample(
    challenge: str,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; the user's cache if not given.")
    ] = None,
    slides: Annotated[
        int | None, typer.Option(min=1, help="Number of slides, where the data are slides.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=64, help="Side of a slide in pixels, where the data are slides.")
    ] = None,
) -> None:
    """Write the synthetic sample in the challenge's own layout and say where."""
    from medbench.challenges import load_data_set
    from medbench.cli.console import ConsoleProgress
    from medbench.running.data import sample_folder

    values = {"slides": slides, "size": size}
    options = {name: value for name, value in values.items() if value is not None}
    typer.echo(sample_folder(load_data_set(challenge), ConsoleProgress(), output, options))


@app.command("check")
def check(challenge: str, data: Path, as_json: arguments.AsJson = False) -> None:
    """Look a copy over: files, counts, labels, sizes, and leaks between splits."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import print_json, print_table

    findings = load_challenge(challenge).release.check(data)
    if as_json:
        print_json([{"severity": f.severity, "message": f.message, "advice": f.advice} for f in findings])
    else:
        rows = [(f.severity, f.message, f.advice) for f in findings]
        print_table(f"{data}", ("severity", "finding", "what to do"), rows, wrap=(1, 2))
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)
