"""``medbench challenges``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.task import titles

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge

SPLITS_IN_LIST = 8

app = typer.Typer(invoke_without_command=True, help="List the challenges, or show one.")


def _facts(challenge: Challenge) -> dict[str, Any]:
    return {
        "name": challenge.name,
        "title": challenge.title,
        "task": challenge.card.summary,
        "demands": {task: list(names) for task, names in challenge.card.demands.items()},
        "forms": list(challenge.exchange.inputs),
        "labels": {str(value): label for value, label in challenge.labels.items()},
        "image_classes": list(challenge.card.image_classes),
        "splits": list(challenge.release.splits),
        "modalities": {name: list(others) for name, others in challenge.card.modalities.items()},
        "metrics": [
            {
                "name": metric.name,
                "title": metric.title,
                "unit": metric.unit,
                "better": metric.better,
                "convention": metric.convention,
                "protocol": metric.protocol,
                "pooled": metric.pooled,
            }
            for metric in challenge.metrics
        ],
        "failure_rule": challenge.card.failure_rule,
        "license": challenge.card.license,
        "homepage": challenge.card.homepage,
        "citation": challenge.card.citation,
        "data": challenge.release.data_hint,
        "published": challenge.published(),
    }


def _tasks(challenge: Challenge) -> str:
    """A line for each task that a model must answer, with its classes, or with the values of its labels."""
    labels = [f"{value} {label}" for value, label in challenge.labels.items()]
    demands = {**challenge.card.demands, **({"label_map": labels} if labels else {})}
    return "\n".join(
        f"A model answers {titles([task])}: {', '.join(names)}" for task, names in demands.items()
    )


def _splits(challenge: Challenge) -> str:
    """The splits, and those that commands take where none is named."""
    release = challenge.release
    learns = "once for each of its parts" if release.parts(release.default_split) else release.training_split
    return (
        f"Splits (--split): {', '.join(release.splits)}\n"
        f"Without --split, medbench run predicts {release.default_split}, and medbench train learns "
        f"{learns if ' ' in learns else f'from {learns}'}."
    )


def _first_splits(splits: list[str]) -> str:
    """The splits of a challenge, of many the first and how many there are."""
    if len(splits) <= SPLITS_IN_LIST:
        return ", ".join(splits)
    return f"{', '.join(splits[:SPLITS_IN_LIST])}, … ({len(splits)} in all)"


Match = Annotated[str, typer.Option("--match", help="Shell-style pattern of names.")]


@app.callback()
def list_all(context: typer.Context, match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the challenges."""
    if context.invoked_subcommand is None:
        list_challenges(match, as_json)
        return
    hint = f"Write it behind {context.invoked_subcommand}, where that takes it."
    refuse_ignored(context, ("match", "as_json"), f"before {context.invoked_subcommand}", hint)


@app.command("list")
def list_challenges(match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the challenges: name, title, task, splits, licence."""
    from medbench.challenges import all_challenges
    from medbench.cli.console import print_json, print_table

    facts = [_facts(challenge) for challenge in all_challenges(match)]
    if as_json:
        print_json(facts)
        return
    if not facts:
        typer.echo(f"No challenge's name matches '{match}'; a part of a name is found by '*{match}*'.")
        return
    rows = [
        (
            str(fact["name"]),
            str(fact["title"]),
            str(fact["task"]),
            _first_splits(fact["splits"]),
            str(fact["license"]),
        )
        for fact in facts
    ]
    print_table("", ("name", "title", "task", "splits", "licence"), rows, wrap=(1, 2, 3, 4))


@app.command("show", short_help="Labels, columns, splits, failure rule, data.")
def show(name: arguments.ShownChallenge, as_json: arguments.AsJson = False) -> None:
    """Show a challenge: tasks, labels, columns, splits, failure rule, data, licence and citation."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import print_json, print_table

    challenge = load_challenge(name)
    facts = _facts(challenge)
    if as_json:
        print_json(facts)
        return
    origin = ", ".join(filter(None, (facts["homepage"], f"licence: {facts['license']}")))
    typer.echo(f"{facts['title']}: {facts['task']}\n{origin}\n{facts['citation']}\n")
    typer.echo(f"{_tasks(challenge)}\n\n{_splits(challenge)}\n")
    keys = ["name", "title", "unit", "better", "convention"]
    keys += ["protocol"] if any(metric["protocol"] for metric in facts["metrics"]) else []
    rows = [[metric[key] for key in keys] for metric in facts["metrics"]]
    print_table("Metrics", ["definition" if key == "convention" else key for key in keys], rows)
    if facts["modalities"]:
        names = (" or ".join((name, *others)) for name, others in facts["modalities"].items())
        typer.echo(f"\nModalities (--modalities): {', '.join(names)}")
    typer.echo(f"\nFailed and missing cases: {facts['failure_rule']}\n\nData: {facts['data']}")
