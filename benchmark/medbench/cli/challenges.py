"""``medbench challenges``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import arguments

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge

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


Match = Annotated[str, typer.Option("--match", help="Shell-style pattern of names.")]


@app.callback()
def list_all(context: typer.Context, match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the challenges."""
    if context.invoked_subcommand is None:
        list_challenges(match, as_json)


@app.command("list")
def list_challenges(match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the challenges: name, title, task, splits, licence."""
    from medbench.challenges import all_challenges
    from medbench.cli.console import print_json, print_table

    facts = [_facts(challenge) for challenge in all_challenges(match)]
    if as_json:
        print_json(facts)
        return
    rows = [
        (
            str(fact["name"]),
            str(fact["title"]),
            str(fact["task"]),
            ", ".join(fact["splits"]),
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

    facts = _facts(load_challenge(name))
    if as_json:
        print_json(facts)
        return
    source = ", ".join(filter(None, (facts["homepage"], facts["license"])))
    typer.echo(f"{facts['title']}: {facts['task']}\n{source}\n{facts['citation']}\n")
    keys = ["name", "title", "unit", "better", "convention"]
    keys += ["protocol"] if any(metric["protocol"] for metric in facts["metrics"]) else []
    rows = [[metric[key] for key in keys] for metric in facts["metrics"]]
    print_table("Metrics", ["definition" if key == "convention" else key for key in keys], rows)
    if facts["modalities"]:
        names = (" or ".join((name, *others)) for name, others in facts["modalities"].items())
        typer.echo(f"\nModalities (--modalities): {', '.join(names)}")
    typer.echo(f"\nFailed and missing cases: {facts['failure_rule']}\n\nData: {facts['data']}")
