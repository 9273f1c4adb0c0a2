"""``medbench retrieve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments
from medbench.core.text import counted


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="File with one JSON line per radiograph.")],
    model: arguments.Model = "cm_cgns",
    data: arguments.DataFolder = None,
    split: Annotated[str, typer.Option("--split", help="train, validate or test.")] = "test",
    weights: arguments.Weights = "auto",
    runs: arguments.Runs = None,
) -> None:
    """Rank the reports of a split by similarity to each of its radiographs."""
    from medbench.cli.console import ConsoleProgress
    from medbench.running.retrieve import retrieve

    result = retrieve(
        model, output, data=data, split=split, weights=weights, runs=runs, progress=ConsoleProgress()
    )
    shares = ", ".join(f"{share:.3f} among the first {count}" for count, share in result.hit_share.items())
    n_rows = len(result.rows)
    typer.echo(f"{counted(n_rows, 'radiograph')} in {output}; own report {shares} of {n_rows}.")
    for line in result.refusals:
        typer.echo(f"Left out: {line}", err=True)
    raise typer.Exit(1 if result.refusals else 0)
