"""``medbench compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench.cli import arguments


def command(
    runs: Annotated[list[str], typer.Argument(help="Run folders, record.json files or keys; two or more.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this column; repeatable.")
    ] = None,
    seed: arguments.Seed = 0,
    runs_folder: arguments.Runs = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Paired statistics of runs on the same cases: differences, intervals by group, corrected p-values."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import print_json, print_table
    from medbench.core.folders import runs_folder as default_folder
    from medbench.leaderboards.compare import compare_runs
    from medbench.records.reading import find_run
    from medbench.records.tables import heading, interval, number

    finished = [find_run(name, runs_folder or default_folder()) for name in runs]
    differences = compare_runs(finished, metrics or (), seed)
    if as_json:
        print_json([difference.as_json() for difference in differences])
        return

    def chance(p: float | None) -> str:
        return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"

    record = finished[0].record
    kind = " (synthetic sample: no result on real data)" if record.data == "sample" else ""
    headings = ("metric", "first", "second", "difference", "95 % interval", "permutation p", "Holm",
                "Wilcoxon p", "Holm", "cases", "groups")  # fmt: skip
    pairs = dict.fromkeys((difference.first, difference.second) for difference in differences)
    for first, second in pairs:
        rows = []
        for d in differences:
            if (d.first, d.second) != (first, second):
                continue
            unit = d.metric.unit
            sign = "+" if d.difference is not None and d.difference >= 0 else ""
            rows.append(
                (
                    heading(d.metric) + (f" ({d.metric.protocol})" if d.metric.protocol else ""),
                    number(d.values[0], unit),
                    number(d.values[1], unit),
                    sign + number(d.difference, unit),
                    interval(d.interval.low, d.interval.high, unit),
                    chance(d.p_permutation),
                    chance(d.p_permutation_holm),
                    chance(d.p_wilcoxon),
                    chance(d.p_wilcoxon_holm),
                    f"{d.cases}" + (f" (−{d.left_out})" if d.left_out else ""),
                    str(d.groups),
                )
            )
        title = f"{first} → {second}, {record.challenge.title}, split {record.challenge.split}{kind}"
        print_table(title, headings, rows, wrap=(0,))
    standings = load_challenge(record.challenge.name).scorer.rank(
        {run.title: list(run.rows.values()) for run in finished}
    )
    if standings:
        ranks = [(str(s.place), s.name, str(s.rank_sum), f"{s.tie_breaker:.4f}") for s in standings]
        title = f"Ranking of {record.challenge.title}{kind}"
        print_table(title, ("place", "entry", "sum of ranks", "separates equal sums"), ranks, wrap=(1,))
    typer.echo(
        f"Second minus first. Holm over {len(differences)} comparisons. Groups are exchanged and resampled "
        "as a whole; cases in brackets have no value in one of the runs."
    )
