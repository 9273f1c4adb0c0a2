"""``medbench cite``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    names: Annotated[list[str], typer.Argument(help="Models and challenges.")],
    as_json: arguments.AsJson = False,
) -> None:
    """Print BibTeX entries and licences of models and challenges."""
    import dataclasses

    from medbench.cli.console import print_json
    from medbench.running.cite import cite

    citations = cite(names)
    if as_json:
        print_json([dataclasses.asdict(citation) for citation in citations])
        return
    for citation in citations:
        what = "licence of the data" if citation.kind == "challenge" else "licence of the authors' code"
        origin = f"; {citation.origin}" if citation.origin else ""
        typer.echo(f"% {citation.name}: {what}: {citation.licence}{origin}\n{citation.bibtex}\n")
