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
) -> None:
    """Write the synthetic sample in the challenge's own layout and say where."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import ConsoleProgress
    from medbench.running.data import sample_folder

    typer.echo(sample_folder(load_challenge(challenge), ConsoleProgress(), output))


@app.command("check")
def check(challenge: str, data: Path, as_json: arguments.AsJson = False) -> None:
    """Look a copy over: files, counts, labels, sizes, and leaks between splits."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import print_json, print_table

    findings = load_challenge(challenge).check(data)
    if as_json:
        print_json([{"severity": f.severity, "message": f.message, "advice": f.advice} for f in findings])
    else:
        rows = [(f.severity, f.message, f.advice) for f in findings]
        print_table(f"{data}", ("severity", "finding", "what to do"), rows, wrap=(1, 2))
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)
