"""``medbench data``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments, data_init
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted

app = typer.Typer(
    no_args_is_help=True,
    help="Declare your own data, draw a challenge's synthetic sample, check, prepare or export data.",
)
app.command("init", short_help="Declare your own data in medbench.toml.")(data_init.command)


@app.command("sample", short_help="Draw the synthetic sample of a challenge.")
def sample(
    challenge: arguments.ShownChallenge,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write; the user's cache if not given.")
    ] = None,
    slides: Annotated[
        int | None, typer.Option(min=1, help="Number of slides, where the data are slides.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=64, help="Side of a slide in pixels, where the data are slides.")
    ] = None,
) -> None:
    """Draw the synthetic sample in the layout of the release, and print its folder."""
    from medbench.challenges import load_data_set
    from medbench.cli.console import ConsoleProgress
    from medbench.running.samples import sample_folder

    values = {"slides": slides, "size": size}
    options = {name: value for name, value in values.items() if value is not None}
    typer.echo(sample_folder(load_data_set(challenge), ConsoleProgress(), output, options))


@app.command("prepare", short_help="Extract features and shots of videos.")
def prepare(
    context: typer.Context,
    challenge: arguments.ShownChallenge,
    videos: Annotated[Path, typer.Option("--videos", help="Folder of video files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file in the released layout.")],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="GoogLeNet weights of torchvision (.pth), for the features."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Compute features with random weights; the file is marked."),
    ] = False,
    sampling: arguments.Sampling = "every_15th",
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="Folder of the raw annotation files; the videos' if not given."),
    ] = None,
    device: arguments.Device = "auto",
) -> None:
    """Extract features and shots of videos into one HDF5 file in the layout of the released data."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.parsing import parse_sampling
    from medbench.running.prepare import Preparation, prepare

    if weights is not None:
        refuse_ignored(context, ("random_weights",), "with --weights", "Leave one of the two out.")
    preparation = Preparation(
        weights=weights,
        random_weights=random_weights,
        sampling=parse_sampling(sampling),
        annotations=annotations,
        device=device,
    )
    failures = prepare(challenge, videos, output, preparation, ConsoleProgress())
    without = f", without {counted(len(failures), 'video')} that failed" if failures else ""
    typer.echo(f"{output}{without}")
    raise typer.Exit(1 if failures else 0)


@app.command("check", short_help="Check files, labels, sizes, leaks between splits.")
def check(
    challenge: arguments.ShownChallenge,
    data: Annotated[
        Path | None, typer.Argument(help="Folder of the release; where declared, if not given.")
    ] = None,
    memory_limit: arguments.MemoryLimit = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Check a data folder: files, counts, labels, sizes, and leaks between splits."""
    from medbench.challenges import load_challenge
    from medbench.cli.console import ConsoleProgress, print_json, print_table
    from medbench.running.data import resolve_data

    subject = load_challenge(challenge)
    data = data or resolve_data(subject, None, ConsoleProgress()).root
    findings = subject.release.check(data)
    if as_json:
        print_json([{"severity": f.severity, "message": f.message, "advice": f.advice} for f in findings])
    else:
        rows = [(f.severity, f.message, f.advice) for f in findings]
        print_table(f"{data}", ("severity", "finding", "what to do"), rows, wrap=(1, 2))
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)


@app.command("export", short_help="Write cases in the layout of nnU-Net or MSD.")
def export(
    layout: Annotated[str, typer.Argument(help="nnunet or msd.", metavar="nnunet|msd")],
    challenge: arguments.ShownChallenge,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Empty folder; DatasetXXX_Name for nnU-Net.")
    ],
    data: arguments.DataFolder = None,
) -> None:
    """Write the labelled cases of a challenge in the layout of nnU-Net or of the decathlon (MSD)."""
    from typing import get_args

    from medbench.cli.console import ConsoleProgress
    from medbench.core.registry import unknown_name
    from medbench.running.export_data import Layout, export_data
    from medbench.running.request import CaseRequest

    if layout not in get_args(Layout):
        raise unknown_name("layout", layout, get_args(Layout))
    request = CaseRequest(challenge=challenge, data=data)
    count, failures = export_data(request, layout, output, ConsoleProgress())  # type: ignore[arg-type]
    for reason in failures:
        typer.echo(f"left out: {reason}", err=True)
    typer.echo(f"{counted(count, 'case')} in {output}")
    raise typer.Exit(1 if failures else 0)
