"""``medbench metrics``: list the definitions, show one, compare all of them on a pair of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored

app = typer.Typer(
    invoke_without_command=True, help="List the metrics' definitions, show one, or compare them on a pair."
)
Match = Annotated[str, typer.Option("--match", help="Shell-style pattern of ids.")]


@app.callback()
def default(context: typer.Context, match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the metrics."""
    if context.invoked_subcommand is None:
        list_all(match, as_json)
        return
    hint = f"Write it behind {context.invoked_subcommand}, where that takes it."
    refuse_ignored(context, ("match", "as_json"), f"before {context.invoked_subcommand}", hint)


@app.command("list", short_help="The metrics' ids, units and definitions.")
def list_all(match: Match = "*", as_json: arguments.AsJson = False) -> None:
    """List the metrics: id, unit, direction, definition."""
    from medbench.cli.console import print_json, print_table
    from medbench.metrics import list_metrics, metric

    conventions = [metric(id) for id in list_metrics(match)]
    if as_json:
        print_json([convention.as_json() for convention in conventions])
        return
    if not conventions:
        typer.echo(f"No metric's id matches '{match}'; a part of an id is found by '*{match}*'.")
        return
    rows = [(c.id, c.family, c.unit, c.better, c.differs or c.definition) for c in conventions]
    print_table("", ("id", "family", "unit", "better", "what sets it apart"), rows, wrap=(4,))


@app.command("show", short_help="A metric's rule, source, range and example.")
def show(
    id: Annotated[str, typer.Argument(help="Metric id; see 'medbench metrics'.")],
    as_json: arguments.AsJson = False,
) -> None:
    """Show a metric's definition: rule, source, range, empty masks, options, and a runnable example."""
    from medbench.cli.console import print_json, print_table
    from medbench.metrics import metric
    from medbench.metrics.checks.empty_masks import outcomes_of_empty_masks

    facts = metric(id).as_json()
    if as_json:
        print_json(facts)
        return
    if metric(id).compares_masks:
        outcomes = outcomes_of_empty_masks(id)
        facts["empty"] = {
            "rule": facts["empty"]["name"],
            "both masks": outcomes["both"],
            "only the prediction": outcomes["prediction"],
            "only the reference": outcomes["reference"],
        }
    rows = [
        (key.replace("_", " "), _text(value)) for key, value in facts.items() if value not in ("", [], {})
    ]
    print_table(facts["title"], ("", ""), rows, wrap=(1,), lines=True)


@app.command("compare", short_help="Compute every metric on one pair of label maps.")
def compare(
    reference: Annotated[Path, typer.Argument(help="Reference label map: NIfTI, MHA, PNG, TIFF or npy.")],
    prediction: Annotated[Path, typer.Argument(help="Predicted label map of the same size.")],
    label: Annotated[
        list[int] | None,
        typer.Option(
            "--label", metavar="VALUE", help="Label of the map; repeat for a union. Else all that is not 0."
        ),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option("--spacing", help="mm per array axis, e.g. 2.5,0.8,0.8, or 'pixel'; else the file's."),
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="Tolerance of surface Dice.")] = 1.0,
    match: Match = "*",
    beside: Annotated[
        str, typer.Option("--with", help="Libraries to compare with: medpy,monai,simpleitk,surface-distance.")
    ] = "",
    as_json: arguments.AsJson = False,
) -> None:
    """Compute every metric on one pair of label maps, and show what makes definitions differ."""
    from medbench.cli.console import print_json
    from medbench.core.errors import MedbenchError
    from medbench.io.images import read_labels
    from medbench.metrics.checks.one_pair import compare_pair

    spacing_mm = _spacing(spacing)
    for path in (reference, prediction):
        if not path.exists():
            raise MedbenchError("data.missing", f"{path}: there is no such file.", "Check the path.")
    volumes = read_labels(reference), read_labels(prediction)
    libraries = [name.strip() for name in beside.split(",") if name.strip()]
    result = compare_pair(
        *volumes,
        names=(str(reference), str(prediction)),
        label=label or None,
        spacing=spacing_mm,
        tolerance=tolerance,
        pattern=match,
        libraries=libraries,
    )
    if as_json:
        print_json(result)
    else:
        _print(result)


def _spacing(text: str | None) -> Any:
    if text is None or text == "pixel":
        return text
    from medbench.core.errors import MedbenchError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise MedbenchError(
            "metric.spacing", f"'{text}' is not a spacing.", "For example --spacing 2.5,0.8,0.8 or pixel."
        ) from error


def _print(result: dict[str, Any]) -> None:
    from medbench.cli.console import print_table

    steps = " x ".join(f"{step:g}" for step in result["spacing"])
    title = (
        f"{result['reference']} against {result['prediction']}: "
        f"{result['n_reference']:,} and {result['n_prediction']:,} elements, spacing {steps} {result['unit']}"
    )
    rows = [
        (
            row["id"],
            "–" if row["value"] is None else f"{row['value']:.6g}",
            row["unit"],
            row["reason"] or row["differs"],
            row["like"],
        )
        for row in result["metrics"]
    ]
    print_table(title, ("id", "value", "unit", "what differs", "also computed by"), rows, wrap=(3, 4))
    if result["libraries"]:
        rows = [
            (
                row["library"],
                row["function"],
                "–" if row["value"] is None else f"{row['value']:.6g}",
                row["id"],
                row["verdict"],
            )
            for row in result["libraries"]
        ]
        print_table("", ("library", "function", "value", "our id", "verdict"), rows, wrap=(1, 4))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join("unbounded" if item is None else str(item) for item in value)
    return str(value)
