"""``medbench evaluate``."""

from __future__ import annotations

import contextlib
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted

if TYPE_CHECKING:
    from medbench.running.evaluate import Evaluation
    from medbench.running.folders import FolderScores


FOLDERS_ALONE = ("metrics", "labels", "spacing", "empty", "output")
CHALLENGE_ALONE = ("data", "split", "name", "cases", "scheduler", "shard", "runs", "leaderboards")


def command(
    context: typer.Context,
    predictions: Annotated[
        str | None,
        typer.Option(
            "--predictions",
            "-p",
            help="Folder or zip of predictions, of any program; or their name in medbench.toml.",
            metavar="FOLDER|NAME",
        ),
    ] = None,
    predictions_json: Annotated[
        Path | None,
        typer.Option(
            "--predictions-json",
            help="Instead of -p: predictions.json of a grand-challenge phase, outputs of jobs beside it.",
        ),
    ] = None,
    challenge: Annotated[
        str | None,
        typer.Option(
            "--challenge", "-c", help="Challenge name, for official scoring; see 'medbench challenges'."
        ),
    ] = None,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the entry in the leaderboard.")] = None,
    rename: Annotated[
        str | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Replace OLD by NEW in a reference's file name to get the name of its prediction.",
        ),
    ] = None,
    cases: arguments.Cases = "*",
    references: Annotated[
        Path | None,
        typer.Option("--references", "-r", help="Without a challenge: folder of reference label maps."),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option("--metrics", help="Without a challenge: ids, comma-separated; see 'medbench metrics'."),
    ] = "dice,hd95.pooled,assd.pooled",
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Without a challenge: label values, comma-separated; else all but 0."),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option("--spacing", help="mm per array axis, e.g. 2.5,0.8,0.8, or 'pixel'; else the files'."),
    ] = None,
    empty: Annotated[
        str | None,
        typer.Option(
            "--empty", help="Rule for empty masks, e.g. agree or diagonal; else that of each definition."
        ),
    ] = None,
    resample_to_reference: Annotated[
        bool,
        typer.Option(
            "--resample-to-reference", help="Resample predictions of another geometry to the reference."
        ),
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Number of processes that score.")] = 2,
    scheduler: arguments.Scheduler = None,
    shard: arguments.ShardOf = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Without a challenge: file with one JSON line per pair."),
    ] = None,
    memory_limit: arguments.MemoryLimit = None,
    seed: arguments.ResamplingSeed = 0,
    runs: arguments.Runs = None,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Score a folder of predictions: as a challenge does (-c), or by any metrics against --references."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.parsing import parse_rename, parse_spacing, parse_whole
    from medbench.core.errors import MedbenchError
    from medbench.core.named_predictions import named_predictions

    pair = parse_rename(rename)
    named_folder = None if predictions is None else named_predictions(predictions)
    if named_folder is not None:
        pair = pair or named_folder.rename
        challenge = challenge or (named_folder.challenge or None if references is None else None)
    if (challenge is None) == (references is None):
        names = (
            ""
            if predictions is None or Path(predictions).exists()
            else (f" {predictions} is no folder, and no [predictions.…] of medbench.toml has this name.")
        )
        raise MedbenchError(
            "option.missing",
            f"Give either --challenge or --references{'' if challenge is None else ', not both'}.{names}",
            "For example --references labels/." if challenge is None else "A challenge has its own.",
        )
    _refuse_ignored(context, challenge is None)
    if (predictions is None) == (predictions_json is None):
        raise MedbenchError(
            "option.missing",
            "Give either --predictions or --predictions-json.",
            "For example --predictions masks/.",
        )
    if predictions_json is not None:
        refuse_ignored(context, ("rename",), "with --predictions-json", "Jobs name their images themselves.")
        if challenge is None:
            raise MedbenchError("option.missing", "--predictions-json needs --challenge.", "Add -c NAME.")
        from medbench.submissions.host.phase import collect_phase

        phase = collect_phase(predictions_json, challenge, data, split, ConsoleProgress())
        for line in phase.notes:
            typer.echo(line, err=True)
        predictions = str(phase.folder)
    assert predictions is not None
    if challenge is not None:
        from medbench.running.evaluate import evaluation_of

        request = evaluation_of(
            challenge,
            predictions,
            data=data,
            split=split,
            name=name,
            rename=pair,
            cases=cases,
            seed=seed,
            runs=runs,
            leaderboards=leaderboards,
        )
        raise typer.Exit(_as_challenge(context, request, as_json))
    from medbench.running.folders import evaluate_folders
    from medbench.running.label_presence import refuse_absent_labels

    assert references is not None
    values = None if labels is None else parse_whole(labels, "--labels")
    if values is not None:
        refuse_absent_labels(references, values)
    with _processes(workers) as executor:
        scores = evaluate_folders(
            references,
            predictions if named_folder is None else named_folder.folder,
            [identifier.strip() for identifier in metrics.split(",") if identifier.strip()],
            labels=values,
            spacing=parse_spacing(spacing),
            empty=empty,
            rename=pair,
            resample_to_reference=resample_to_reference,
            workers=executor,
            output=output,
            seed=seed,
            progress=ConsoleProgress(),
        )
    _show(scores, as_json)
    raise typer.Exit(scores.exit_code)


def _as_challenge(context: typer.Context, request: Evaluation, as_json: bool) -> int:
    """Score as a challenge does, here or on a cluster, all cases or a shard; the exit code."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.results import show_finished, show_shard
    from medbench.running.evaluate import evaluate_request, scoring
    from medbench.running.evaluation_shards import score_shard
    from medbench.running.executors import dask_cluster
    from medbench.running.shard import Shard

    scheduler, shard = context.params["scheduler"], context.params["shard"]
    part = Shard.parse(shard) if shard else None
    with contextlib.ExitStack() as stack:
        own = dask_cluster(scheduler) if scheduler else _processes(context.params["workers"])
        workers = stack.enter_context(own)
        if part is None:
            result = evaluate_request(request, scoring(request, workers), ConsoleProgress())
            show_finished(result, as_json, request.leaderboards)
            return result.exit_code
        shard_scores = score_shard(request, part, workers, ConsoleProgress())
    return show_shard(part, shard_scores, as_json)


def _processes(workers: int) -> AbstractContextManager[Executor | int]:
    """The processes that score, or 1 for this one alone."""
    from medbench.running.executors import joining_processes

    return joining_processes(workers) if workers > 1 else contextlib.nullcontext(1)


def _refuse_ignored(context: typer.Context, without_challenge: bool) -> None:
    """Refuse options that would have no effect.

    Raises:
        MedbenchError: ``option.ignored``.
    """
    if without_challenge:
        refuse_ignored(context, CHALLENGE_ALONE, "with --references", "It belongs to --challenge.")
        return
    resampling = "A challenge's geometry is the organisers' rule: write predictions in it."
    refuse_ignored(context, ("resample_to_reference",), "with --challenge", resampling)
    refuse_ignored(context, FOLDERS_ALONE, "with --challenge", "It belongs to --references.")
    if context.params["scheduler"] is not None:
        refuse_ignored(context, ("workers",), "with --scheduler", "The cluster's workers are taken.")


def _show(scores: FolderScores, as_json: bool) -> None:
    from medbench.cli.console import print_json, print_table
    from medbench.records.tables import RESULT_HEADINGS, aggregate_rows

    if as_json:
        import dataclasses

        print_json(
            {
                "metrics": {name: dataclasses.asdict(figures) for name, figures in scores.aggregates.items()},
                "pairs": [row.as_json() for row in scores.rows],
                "notes": list(scores.notes),
            }
        )
        return
    print_table("", RESULT_HEADINGS, aggregate_rows(scores.aggregates, scores.specs))
    for note in scores.notes:
        typer.echo(f"Note: {note}.")
    statuses = [row.status for row in scores.rows]
    typer.echo(
        f"{statuses.count('ok')} of {counted(len(statuses), 'pair')} scored, {statuses.count('failed')} "
        f"failed, {statuses.count('missing')} missing. Means are over the pairs that have a value."
    )
