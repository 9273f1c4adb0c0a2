"""``medbench profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored, stated

if TYPE_CHECKING:
    from medbench.profiling.profile import Profile, ProfileRequest
    from medbench.profiling.sweep import Curve
    from medbench.profiling.tables import Table


def command(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME", help="Model name or pattern; repeatable."),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="Input shape with the batch, e.g. 1x3x256x256; else the card's."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            help="auto, cpu, cuda, cuda:N, mps, all; comma-separated.",
            callback=arguments.known_devices,
        ),
    ] = "auto",
    batch: Annotated[
        str | None, typer.Option("--batch", help="Batch sizes, e.g. 1,8; else that of --input, or 1.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, bf16, fp16; comma-separated.")
    ] = "fp32",
    measure: Annotated[
        str, typer.Option("--measure", help="cost, memory, latency; comma-separated. Cost is always counted.")
    ] = "cost,memory,latency",
    settings: arguments.Settings = None,
    classes: Annotated[
        int | None, typer.Option("--classes", min=1, help="Number of classes; else the card's.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 for torch's default.")] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="Time limit of each latency measurement, in seconds.")
    ] = 5.0,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Use the memory format channels last.")
    ] = False,
    use_compile: Annotated[bool, typer.Option("--compile", help="Run through torch.compile.")] = False,
    max_batch: Annotated[bool, typer.Option("--max-batch", help="Find the largest batch that fits.")] = False,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", help="Limit on the memory of a process, e.g. 2GiB.")
    ] = None,
    energy: Annotated[
        bool, typer.Option("--energy", help="Measure joules per sample by codecarbon.")
    ] = False,
    by_module: Annotated[bool, typer.Option("--by-module", help="Show the cost of every module.")] = False,
    depth: Annotated[int, typer.Option("--depth", min=1, help="Levels of modules with --by-module.")] = 2,
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="Cost against size, e.g. size=128:1024:128.")
    ] = None,
    sweep_time: Annotated[
        bool, typer.Option("--sweep-time", help="Time every point of the sweep too.")
    ] = False,
    plot: Annotated[
        list[Path] | None,
        typer.Option("--plot", metavar="FILE", help="Chart of the sweep: .png, .svg, .pdf; repeatable."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", callback=arguments.page_place, help="Write all results as one HTML page."),
    ] = None,
    table_format: Annotated[
        str | None, typer.Option("--format", help="latex or markdown, to paste into a paper.")
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Check the counters on networks counted by hand.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Store the results, for model cards and leaderboards.")
    ] = True,
    leaderboards: arguments.Leaderboards = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Measure parameters, operations (FLOPs), memory and latency of models."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.parsing import parse_settings
    from medbench.core.errors import MedbenchError
    from medbench.core.folders import leaderboards_folder
    from medbench.profiling.requests import make_request, parse_bytes
    from medbench.profiling.tables import FORMATS

    if self_test:
        others = [name for name in context.params if name not in ("self_test", "as_json")]
        refuse_ignored(context, others, "with --self-test")
        _self_test(as_json)
        return
    _refuse_ignored(context)
    if table_format is not None and table_format not in FORMATS:
        raise MedbenchError(
            "format.unknown", f"There is no format '{table_format}'.", "Give latex or markdown."
        )
    if sweep is None and (plot or sweep_time):
        raise MedbenchError(
            "profile.sweep", "--plot and --sweep-time need --sweep.", "E.g. size=128:512:128."
        )
    request = make_request(
        model or [],
        input_shape=input_shape,
        devices=device,
        batches=batch,
        precisions=precision,
        measures=measure,
        num_classes=classes,
        options=parse_settings(settings or []),
        channels_last=channels_last,
        compiled=use_compile,
        threads=threads,
        seconds=seconds,
        memory_limit_bytes=parse_bytes(memory_limit) if memory_limit else None,
        largest_batch=max_batch,
        energy=energy,
    )
    progress = ConsoleProgress()
    profiles: list[Profile] = []
    curves: list[Curve] = []
    if sweep is None:
        from medbench.profiling.profile import profile

        board = (leaderboards or leaderboards_folder()) if keep else None
        profiles = profile(request, keep_in=board, progress=progress)
    else:
        curves = _sweep(request, sweep, seconds if sweep_time else None, plot or [], progress)
    tables = _tables(profiles, curves, depth if by_module else None)
    if html is not None:
        from medbench.profiling.page import write_page

        write_page(html, tables, curves)
        typer.echo(f"Page: {html}", err=True)
    if as_json:
        print_json(_as_json(profiles, curves, by_module))
    else:
        _print(tables, table_format)


def _refuse_ignored(context: typer.Context) -> None:
    """Refuse options that nothing of what is asked for follows.

    Raises:
        MedbenchError: ``option.ignored``.
    """
    values = context.params
    if values["as_json"]:
        refuse_ignored(context, ("table_format",), "with --json", "Leave one of the two out.")
    if not values["by_module"]:
        refuse_ignored(context, ("depth",), "without --by-module", "Add --by-module.")
    if values["sweep"] is not None:
        single = ("by_module", "max_batch", "energy", "measure", "leaderboards")
        refuse_ignored(context, single, "with --sweep")
        takes_time = values["sweep_time"]
    else:
        takes_time = values["energy"] or "latency" in values["measure"]
    if not takes_time:
        reason = "where no time is measured"
        refuse_ignored(context, ("seconds",), reason)
    if not values["keep"] and stated(context, "keep"):
        refuse_ignored(context, ("leaderboards",), "with --no-keep")


def _sweep(
    request: ProfileRequest, text: str, seconds: float | None, plots: list[Path], progress: Any
) -> list[Curve]:
    from medbench.core.writable import refuse_unwritable
    from medbench.profiling.plots import draw_curves
    from medbench.profiling.profile import plan
    from medbench.profiling.sweep import parse_range, sweep

    for path in plots:
        refuse_unwritable(path)
    curves = sweep(plan(request), parse_range(text), seconds=seconds, progress=progress)
    for path in plots:
        draw_curves(curves, path)
    return curves


def _tables(profiles: list[Profile], curves: list[Curve], depth: int | None) -> list[Table]:
    from medbench.profiling.page import sweep_table
    from medbench.profiling.tables import cost_table, machine_table, module_table, published_table

    if curves:
        return [sweep_table(curves)]
    records = [item.record for item in profiles]
    tables = [cost_table(records), published_table(records)]
    if any(record.memory or record.latency or record.largest_batch or record.energy for record in records):
        tables.append(machine_table(records))
    if depth is not None:
        trees = {item.record.model: item.cost.modules for item in profiles}
        tables += [module_table(model, modules, depth) for model, modules in trees.items()]
    return [table for table in tables if table.rows]


def _print(tables: list[Table], table_format: str | None) -> None:
    from medbench.cli.console import print_table

    for table in tables:
        if table_format:
            typer.echo(table.text(table_format) + "\n")
            continue
        print_table(table.title, table.headings, table.rows, wrap=(len(table.headings) - 1,))
        for note in table.notes:
            typer.echo(note)


def _as_json(profiles: list[Profile], curves: list[Curve], by_module: bool) -> list[dict[str, Any]]:
    import dataclasses

    if curves:
        return [curve.as_json() for curve in curves]
    rows = []
    for item in profiles:
        row = item.record.model_dump(mode="json")
        if by_module:
            row["modules"] = [dataclasses.asdict(module) for module in item.cost.modules]
        rows.append(row)
    return rows


def _self_test(as_json: bool) -> None:
    import dataclasses

    from medbench.cli.console import print_json
    from medbench.profiling.self_test import self_test

    checks = self_test()
    if as_json:
        print_json([{**dataclasses.asdict(check), "passed": check.passed} for check in checks])
        return
    for check in (check for check in checks if check.due):
        typer.echo(f"ok  {check.name}: {check.count:,.6g}")
    typer.echo(f"All {len(checks)} counters agree with the costs worked out by hand.")
