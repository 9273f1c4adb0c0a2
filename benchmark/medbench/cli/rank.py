"""``medbench rank``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import arguments
from medbench.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medbench.leaderboards.rank import Ranking, Rankings


def command(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, record.json files or keys of runs or leaderboard rows; two or more."
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="COLUMN",
            help="Only this column; repeatable. The headline columns if not given.",
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=10, help="Number of resamples of the groups.")
    ] = 1000,
    seed: arguments.ResamplingSeed = 0,
    runs_folder: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Rank runs on the same cases by every scheme, with the stability of ranks over resampled groups."""
    from medbench.cli.console import print_json
    from medbench.core.folders import leaderboards_folder
    from medbench.core.folders import runs_folder as default_folder
    from medbench.leaderboards.rank import MISSING, OWN_RESAMPLES, rank_runs
    from medbench.records.reading import find_run
    from medbench.statistics.intervals import LEAST_GROUPS

    boards = leaderboards or leaderboards_folder()
    entries = [find_run(name, runs_folder or default_folder(), boards) for name in runs]
    rankings = rank_runs(entries, metrics or (), seed, resamples)
    if as_json:
        print_json(rankings.as_json())
        return
    _print_columns(rankings)
    _print_overall(rankings)
    typer.echo(
        f"Brackets: 95 % range of the rank over {resamples} resamples of "
        f"{counted(rankings.groups, 'group')}"
        + (f" ({min(resamples, OWN_RESAMPLES)} for the challenge's own)" if rankings.official else "")
        + "; τ: Kendall's rank correlation of the resamples' rankings with this one, median and 95 % range."
    )
    if rankings.groups < LEAST_GROUPS:
        typer.echo(
            f"Too few groups to tell how stable a rank is: {rankings.groups}, where {LEAST_GROUPS} are "
            "needed. Resamples of so few are nearly alike, and the ranges too narrow."
        )
    typer.echo(MISSING)


def _print_columns(rankings: Rankings) -> None:
    from medbench.cli.console import print_table
    from medbench.records.tables import full_heading, heading, number

    for column in rankings.columns:
        columns = ("entry", heading(column.metric), "missing", *(r.scheme for r in column.rankings))
        rows = [
            (
                name,
                number(column.values[entry], column.metric.unit),
                str(column.missing[entry]),
                *(_rank(ranking, entry) for ranking in column.rankings),
            )
            for entry, name in enumerate(rankings.entries)
        ]
        title = f"{full_heading(column.metric)}: {_population(rankings)}"
        print_table(title, columns, [*rows, _taus(column.rankings, 3)], wrap=(0,))
        _print_map(
            f"{heading(column.metric)}: p that the entry of the row is better (Wilcoxon by group, Holm)",
            rankings.entries,
            column.significance,
        )


def _print_map(title: str, entries: Sequence[str], p_values: Sequence[Sequence[float | None]]) -> None:
    """p of each pair of entries; the columns by the numbers that stand behind the entries."""
    from medbench.cli.console import print_table
    from medbench.records.tables import chance

    if not p_values:
        return
    rows = [
        (f"{name} ({number})", *map(chance, row))
        for number, (name, row) in enumerate(zip(entries, p_values, strict=True), 1)
    ]
    print_table(title, ("entry", *(f"({number})" for number in range(1, len(rows) + 1))), rows, wrap=(0,))


def _print_overall(rankings: Rankings) -> None:
    from medbench.cli.console import print_table

    for overall in rankings.overall:
        rankings_shown = [*overall.rankings, *([rankings.official] if rankings.official else [])]
        rows = [
            (name, *(_rank(ranking, entry) for ranking in rankings_shown))
            for entry, name in enumerate(rankings.entries)
        ]
        protocol = f", protocol {overall.protocol}" if overall.protocol else ""
        title = f"Over {', '.join(overall.metrics)}{protocol}: {_population(rankings)}"
        columns = ("entry", *(ranking.scheme for ranking in rankings_shown))
        print_table(title, columns, [*rows, _taus(rankings_shown, 1)], wrap=(0,))
        _print_map(
            "p of the difference in cumulative rank (ranks exchanged by group, two-sided, not corrected)",
            rankings.entries,
            overall.cumulative_p,
        )


def _population(rankings: Rankings) -> str:
    kind = " (synthetic sample: no result on real data)" if rankings.data == "sample" else ""
    return f"{rankings.challenge}, split {rankings.split}{kind}"


def _rank(ranking: Ranking, entry: int) -> str:
    stability = ranking.stability
    return f"{ranking.ranks[entry]} [{stability.low[entry]}–{stability.high[entry]}]"


def _taus(rankings: Sequence[Ranking], skip: int) -> tuple[str, ...]:
    taus = (f"{r.stability.tau:.2f} [{r.stability.tau_low:.2f}–{r.stability.tau_high:.2f}]" for r in rankings)
    return ("Kendall's τ", *[""] * (skip - 1), *taus)
