"""``medbench compare``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medbench.leaderboards.compare import Difference
    from medbench.records.reading import Run
    from medbench.statistics.ranking import Standing

_LEVEL = 0.05


def command(
    context: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run folders, record.json files or keys of runs or leaderboard rows; two or more."
        ),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            "-p",
            help="Also compare the last evaluation of these predictions of medbench.toml; repeatable.",
            metavar="NAME",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="COLUMN",
            help="Compare only this column; repeatable. Holm corrects over these columns.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            help="Test equivalence: the largest difference that does not matter, in the metric's unit.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            callback=arguments.page_place,
            help="Write this page: differences case by case, plots, images, tests.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="For --html: folder of the runs' data, if it has moved."),
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--prediction-folder",
            metavar="FOLDER",
            help="For --html: folder of a run's predictions; once for each run, in order.",
        ),
    ] = None,
    seed: arguments.ResamplingSeed = 0,
    runs_folder: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Compare runs on the same cases: paired differences, intervals by group, corrected p-values."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import print_json
    from medbench.core.folders import leaderboards_folder
    from medbench.core.folders import runs_folder as default_folder
    from medbench.leaderboards.compare import compare_runs
    from medbench.records.reading import find_run
    from medbench.records.tables import data_words

    if html is None:
        refuse_ignored(context, ("data", "folders"), "without --html", "Give --html FILE.")
    boards = leaderboards or leaderboards_folder()
    names = [*(runs or ()), *(predictions or ())]
    entries = [find_run(name, runs_folder or default_folder(), boards) for name in names]
    differences = compare_runs(entries, metrics or (), seed, margin)
    legend = [*_same(entries), *_lost(entries), *_legend(differences)]
    if html is not None:
        from medbench.running.comparison import comparison

        comparison(html, entries, differences, legend, data, folders or ())
    if as_json:
        print_json([difference.as_json() for difference in differences])
        return
    record = entries[0].record
    kind = data_words(record)
    for first, second in dict.fromkeys((difference.first, difference.second) for difference in differences):
        pair = [d for d in differences if (d.first, d.second) == (first, second)]
        title = f"{first} → {second}, {record.challenge.title}, split {record.challenge.split}{kind}"
        _print_means(title, pair)
        _print_groups(f"By group: {first} → {second}", pair)
    standings = load_challenge(record.challenge.name).scorer.rank(
        {run.title: list(run.rows.values()) for run in entries}
    )
    _print_standings(f"Ranking of {record.challenge.title}{kind}", standings)
    for line in legend:
        typer.echo(line)
    if html is not None:
        typer.echo(f"Page: {html}")


def _same(runs: Sequence[Run]) -> list[str]:
    """Which runs stand there twice, so that a difference of 0 says nothing."""
    counts = Counter((run.record.key, run.title) for run in runs)
    return [
        f"{title} is given {count} times: a run never differs from itself, so these zeros say nothing."
        for (_, title), count in counts.items()
        if count > 1
    ]


def _lost(runs: Sequence[Run]) -> list[str]:
    """How many cases of each run have no prediction that could be scored."""
    lines = []
    for run in runs:
        counts = Counter(row.status for row in run.rows.values())
        if counts["failed"] or counts["missing"]:
            lines.append(
                f"{run.title}: {counts['failed']} failed and {counts['missing']} missing of "
                f"{counted(len(run.rows), 'case')}; their values are those of the challenge's rule."
            )
    return lines


def _print_means(title: str, differences: Sequence[Difference]) -> None:
    """Differences of the metrics as the challenge aggregates them."""
    from medbench.cli.console import fits, print_table
    from medbench.leaderboards.compare_cells import difference_cells, difference_headings, narrow_table

    headings, rows = difference_headings(differences[0]), [difference_cells(one) for one in differences]
    if fits(headings, rows, (0,)):
        print_table(title, headings, rows, wrap=(0,))
        return
    narrow_headings, narrow_rows, counts = narrow_table(differences)
    print_table(title, narrow_headings, narrow_rows, wrap=(0,))
    if counts:
        typer.echo(counts)


def _print_groups(title: str, differences: Sequence[Difference]) -> None:
    """The groups' mean differences."""
    from medbench.cli.console import print_table
    from medbench.leaderboards.compare_cells import GROUP_HEADINGS, group_cells

    rows = [group_cells(difference) for difference in differences if difference.by_group]
    if rows:
        print_table(title, GROUP_HEADINGS, rows, wrap=(0,))


def _print_standings(title: str, standings: Sequence[Standing]) -> None:
    from medbench.cli.console import print_table

    if standings:
        ranks = [(str(s.place), s.name, str(s.rank_sum), f"{s.tie_breaker:.4f}") for s in standings]
        print_table(title, ("place", "entry", "sum of ranks", "separates equal sums"), ranks, wrap=(1,))


def _legend(differences: Sequence[Difference]) -> list[str]:
    """Sentences on how to read the tables, and on the limits of few groups."""
    from medbench.statistics.paired import FIRST_ORDER, IDENTICAL

    family = max((d.hypotheses for d in differences), default=0)
    first = (
        f"Second minus first. Holm over {counted(family, 'comparison')} in the headline columns or in those "
        "named. Groups are exchanged as a whole."
    )
    if any(d.p_permutation_holm is None for d in differences):
        first += " A dash under Holm stands for a column that is not of this family, or has no p."
    if any(d.left_out for d in differences):
        first += " Cases in brackets have no value in one of the runs."
    lines = [first]
    if any(d.by_group for d in differences):
        lines.append(
            "By group: groups in which the second run is better, equal or worse by the mean over their "
            "cases; the rank-biserial correlation is +1 when it is better wherever they differ."
        )
    lines.append(
        "Permutation p: the results of the two runs are exchanged group by group. Least p: the smallest that "
        "exchanges of the differing groups can give, after the same correction."
    )
    blind = [
        d
        for d in differences
        if d.hypotheses and (d.least_p or 0) > _LEVEL and d.interval.method != IDENTICAL
    ]
    if blind:
        lines.append(
            f"{len(blind)} of {counted(family, 'comparison')} cannot reach p ≤ {_LEVEL} after correction "
            "whatever the difference: the least p is larger."
        )
    if differences and differences[0].margin is not None:
        lines.append(
            "Equivalence p: two one-sided t tests by group that the difference lies within the margin, not "
            "corrected."
        )
    if any(d.interval.method == FIRST_ORDER for d in differences):
        lines.append(
            "Of values over all cases at once the p is exact and the interval a first-order one: near p = "
            "0.05 the two may disagree, and p decides."
        )
    lines.append(
        "Each interval is of its own comparison, not corrected. Intervals and p say how the difference "
        "varies over other cases, not over other trainings of the same models (medbench study repeats them "
        "by seed)."
    )
    return lines
