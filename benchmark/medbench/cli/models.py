"""``medbench models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored

if TYPE_CHECKING:
    from medbench.profiling.records import ProfileRecord

app = typer.Typer(invoke_without_command=True, help="List the models, or show one.")


Match = Annotated[
    str,
    typer.Option("--match", help="Shell-style pattern of names; '*.test' lists the tiny variants of tests."),
]


@app.callback()
def list_all(context: typer.Context, match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the models."""
    if context.invoked_subcommand is None:
        list_models(match, as_json)
        return
    hint = f"Write it behind {context.invoked_subcommand}, where that takes it."
    refuse_ignored(context, ("match", "as_json"), f"before {context.invoked_subcommand}", hint)


@app.command("list")
def list_models(match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the models: name, title, tasks, parameters, paper."""
    from medbench.cli.console import print_json, print_table
    from medbench.core.task import titles
    from medbench.models import model_entries

    entries = model_entries(match)
    if "test" not in match:
        entries = [entry for entry in entries if not entry.name.endswith(".test")]
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    if not entries:
        typer.echo(f"No model's name matches '{match}'; a part of a name is found by '*{match}*'.")
        return
    rows = [
        (entry.name, entry.title, titles(entry.offers), _count(entry.counted_parameters), _cited(entry.paper))
        for entry in entries
    ]
    print_table("", ("name", "title", "tasks", "parameters", "paper"), rows, wrap=(1, 2, 4))


@app.command("show", short_help="A model's card: paper, input, options, costs.")
def show(
    name: Annotated[str, typer.Argument(help="Model name; see 'medbench models'.")],
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Show a model's card: paper, code, licence, input, options, recipes, and measured costs."""
    from medbench.cli.console import print_json, print_table
    from medbench.core.folders import leaderboards_folder
    from medbench.models import model_entry
    from medbench.profiling.records import read_profiles
    from medbench.training.recipes import list_recipes

    entry = model_entry(name)
    facts = {**_facts(entry), "recipes": list_recipes(entry.recipe_family)}
    records = read_profiles(leaderboards or leaderboards_folder())
    profiles = [record for record in records if record.model == entry.name]
    if as_json:
        print_json({**facts, "profiles": [record.model_dump(mode="json") for record in profiles]})
        return
    rows = [(key.replace("_", " "), _text(value)) for key, value in facts.items() if not _is_empty(value)]
    print_table(entry.title, ("", ""), rows, wrap=(1,), lines=True)
    if profiles:
        _print_profiles(profiles)
    else:
        typer.echo(f"Not measured on this board: medbench profile -m {entry.name}")


def _print_profiles(profiles: list[ProfileRecord]) -> None:
    from medbench.cli.console import print_table
    from medbench.profiling.tables import cost_table, machine_table, published_table

    machines = dict.fromkeys(record.hardware.key for record in profiles)
    tables = [cost_table(profiles), published_table(profiles)]
    tables += [machine_table([r for r in profiles if r.hardware.key == machine]) for machine in machines]
    for table in tables:
        if table.rows:
            print_table(table.title, table.headings, table.rows, wrap=(len(table.headings) - 1,))
            for note in table.notes:
                typer.echo(note)


def _facts(entry: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(entry)


def _cited(paper: str) -> str:
    """The number of an arXiv paper, which is enough to find it; else the citation."""
    _, arxiv, number = paper.rpartition("arXiv ")
    return f"{arxiv}{number}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict) and value.keys() == {"default", "help"}:
        default = "none" if value["default"] is None else _text(value["default"])
        return f"{value['help']} (default {default})"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)
