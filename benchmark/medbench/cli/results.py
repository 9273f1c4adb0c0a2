"""Printing of finished runs."""

from __future__ import annotations

from pathlib import Path

import typer

from medbench.cli.console import print_json, print_table
from medbench.core.folders import leaderboards_folder
from medbench.core.text import counted
from medbench.records.reading import Finished
from medbench.records.tables import RESULT_HEADINGS, result_rows, result_tables, result_title
from medbench.running.combinations import Combinations
from medbench.running.evaluation_shards import ShardScores
from medbench.running.shard import Shard
from medbench.statistics.intervals import LEAST_GROUPS


def show_finished(result: Finished, as_json: bool, leaderboards: Path | None = None) -> None:
    """Print the result table with its denominators, or the record as JSON.

    Args:
        result: the finished run.
        as_json: whether to print JSON.
        leaderboards: folder of the boards, as the command was told; the usual one if not.
    """
    record = result.record
    if as_json:
        own = {"folder": str(result.folder), "repeat": result.command}
        print_json({**record.model_dump(mode="json"), **own})
        return
    title = result_title(record)
    for protocol, metrics in result_tables(record).items():
        caption = f"{title}, protocol {protocol}" if protocol else title
        print_table(caption, RESULT_HEADINGS, result_rows(metrics))
    counts = record.counts
    typer.echo(
        f"{counts.ok} of {counted(counts.total, 'case')} scored, {counts.failed} failed, "
        f"{counts.missing} missing."
    )
    _say_what_was_done(result)
    if counts.failed or counts.missing:
        typer.echo(f"Failed and missing cases: {record.challenge.failure_rule}")
    methods = sorted(
        {metric.ci95_method for metric in record.metrics.values() if metric.ci95_low is not None}
    )
    if methods:
        typer.echo(f"Intervals: {'; '.join(methods)}.")
    elif few := [metric.groups for metric in record.metrics.values() if 0 < metric.groups < LEAST_GROUPS]:
        typer.echo(f"No intervals: the cases are of {counted(max(few), 'group')}; they need {LEAST_GROUPS}.")
    if record.model.untrained_parts:
        typer.echo(f"Not in the checkpoint, so untrained: {', '.join(record.model.untrained_parts)}.")
    if result.command:
        typer.echo(f"Repeat: {result.command}")
    typer.echo(f"Record: {result.folder / 'record.json'}")
    typer.echo(f"Report: {result.folder / 'report.html'}")
    board = (leaderboards or leaderboards_folder()) / record.challenge.name / "index.html"
    if _is_whole_split(result) and board.is_file():
        typer.echo(f"Board: {board}")


def show_shard(shard: Shard, result: ShardScores, as_json: bool) -> int:
    """Print where a shard's rows lie, and how many of its cases were scored; the exit code."""
    statuses = [row.status for row in result.rows]
    if as_json:
        print_json({"shard": str(shard), "folder": str(result.folder), "cases": len(statuses)})
    else:
        typer.echo(f"Shard {shard}: {statuses.count('ok')} of {counted(len(statuses), 'case')} scored.")
        typer.echo(f"Shard: {result.folder}; bring all shards together with medbench merge.")
    return int(statuses.count("ok") < len(statuses))


def _say_what_was_done(result: Finished) -> None:
    """Print how many cases an earlier call had finished, and why a part of a split has no row."""
    if result.kept:
        typer.echo(result.kept_words)
    elif result.resumed:
        were = "was" if result.resumed == 1 else "were"
        typer.echo(f"{counted(result.resumed, 'case')} {were} finished by an earlier call and kept.")
    if not _is_whole_split(result):
        pattern = result.record.settings["cases"]
        typer.echo(f"Only cases like '{pattern}', a part of the split: no row was added to the leaderboard.")


def _is_whole_split(result: Finished) -> bool:
    return bool(result.record.settings.get("cases", "*") == "*")


def show_combinations(combinations: Combinations, as_json: bool) -> None:
    """Print the table over all combinations of modalities, and the paths of its Markdown and LaTeX files."""
    if as_json:
        print_json(combinations.as_json())
        return
    for protocol, specs in combinations.tables().items():
        columns = [*combinations.marks(), *map(combinations.row, specs)]
        headings = ["", *(column[0] for column in columns)]
        cells = zip(combinations.headings[1:], *(column[1:] for column in columns), strict=True)
        print_table(combinations.caption(protocol), headings, [tuple(row) for row in cells])
    for note in combinations.notes():
        typer.echo(note)
    typer.echo(f"Tables: {combinations.folder / 'table.md'}, {combinations.folder / 'table.tex'}")


def show_phases(result: Finished) -> None:
    """Print the times by phase of the last predicted cases, and the phase to speed up, on standard error."""
    from medbench.records.phases import HEADINGS, read_phases

    profile = read_phases(result.folder)
    if profile is None:
        typer.echo("An earlier call predicted all cases without times; choose another --runs.", err=True)
        return
    print_table("Where the time went", HEADINGS, profile.rows(), error=True)
    typer.echo(profile.verdict(), err=True)
