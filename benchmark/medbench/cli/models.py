"""``medbench models``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medbench.cli import arguments

app = typer.Typer(invoke_without_command=True, help="List the models, or show one.")


@app.callback()
def list_all(
    context: typer.Context,
    pattern: Annotated[str, typer.Option("--match", help="Shell-style pattern of names.")] = "*",
    as_json: arguments.AsJson = False,
) -> None:
    """List the models."""
    if context.invoked_subcommand is not None:
        return
    from medbench.cli.console import print_json, print_table
    from medbench.models import list_models, model_entry

    entries = [model_entry(name) for name in list_models(pattern)]
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    rows = [
        (entry.name, entry.title, ", ".join(entry.tasks), _count(entry.counted_parameters), entry.paper)
        for entry in entries
    ]
    print_table("", ("name", "title", "tasks", "parameters", "paper"), rows, wrap=(2, 4))


@app.command("show")
def show(name: str, as_json: arguments.AsJson = False) -> None:
    """A model's card: paper, code, licence, input contract, options, recipes."""
    from medbench.cli.console import print_json, print_table
    from medbench.models import model_entry
    from medbench.training.recipes import list_recipes

    entry = model_entry(name)
    facts = {**_facts(entry), "recipes": list_recipes(entry.recipe_family)}
    if as_json:
        print_json(facts)
        return
    rows = [(key, _text(value)) for key, value in facts.items() if value not in (None, [], {}, "")]
    print_table(entry.title, ("", ""), rows, wrap=(1,))


def _facts(entry: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(entry)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)
