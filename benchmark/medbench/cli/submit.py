"""``medbench submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored

app = typer.Typer(
    help="Containers and bundles for the platforms of challenges, linted and rehearsed before an upload.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="The submission's TOML.", metavar="FILE")]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of builds; a submission gets a subfolder.")
]
Registry = Annotated[
    str,
    typer.Option("--registry", help="Registry that the image is pushed to, e.g. docker.synapse.org/syn123."),
]
Train = Annotated[
    bool, typer.Option("--train", help="Fit the synthetic sample where file = 'auto' finds no weights.")
]
Stamp = Annotated[
    str,
    typer.Option(
        "--stamp",
        help="Label text that gives the image a new digest, for a platform that refuses an image twice.",
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="podman, docker, none, or auto: the first that works here.")
]


@app.command("init", short_help="Write a submission file with every key explained.")
def init(
    challenge: arguments.ChallengeName,
    model: arguments.Model,
    platform: Annotated[
        str | None,
        typer.Option("--platform", help="Platform of the upload; the challenge's own if not given."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the submission.")] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights", help="Checkpoint file, 'auto' (the last training for the challenge), or 'none'."
        ),
    ] = "auto",
    settings: arguments.Settings = None,
) -> None:
    """Write submissions/<challenge>/<name>.toml with every key explained."""
    from medbench.cli.parsing import parse_settings
    from medbench.submissions.template import write_submission

    options = parse_settings(settings or [])
    typer.echo(str(write_submission(challenge, model, platform, name, weights=weights, options=options)))


@app.command("platforms", short_help="List the platforms and what they accept.")
def platforms(as_json: arguments.AsJson = False) -> None:
    """List the platforms: challenges, format of delivery, input and output folders."""
    from medbench.cli.console import print_json, print_table
    from medbench.submissions.overview import platform_rows

    rows = platform_rows()
    if as_json:
        print_json(rows)
        return
    headings = list(rows[0])
    cells = [[str(value) for value in row.values()] for row in rows]
    print_table("", headings, cells, wrap=range(1, len(headings)))


@app.command("build", short_help="Write the build context, and build the image.")
def build(
    file: File,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    output: Output = Path("build"),
    engine: EngineName = "auto",
    train: Train = False,
    registry: Registry = "",
    stamp: Stamp = "",
) -> None:
    """Write the build context and, where podman or docker is installed, build the image."""
    from medbench.cli.console import ConsoleProgress
    from medbench.submissions.build.request import BuildRequest
    from medbench.submissions.workflow import build as build_submission

    request = BuildRequest(file, data, split, output, train, registry, stamp)
    for line in build_submission(request, engine, ConsoleProgress()):
        typer.echo(line)


@app.command("check", short_help="Lint a submission file, context or image.")
def check(
    context: typer.Context,
    file: File,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Archive of a saved image; build/<name>/<name>.tar.gz if not given."),
    ] = None,
    output: Output = Path("build"),
    registry: Registry = "",
    as_json: arguments.AsJson = False,
) -> None:
    """Lint a submission file, its context and saved image, or a folder of 'submit host'; needs no engine."""
    from medbench.cli.results_submit import show_findings
    from medbench.submissions.workflow import check as check_submission

    if file.is_dir() or file.suffix == ".zip":
        refuse_ignored(context, ("archive", "output", "registry"), "on what 'submit host' wrote")
    raise typer.Exit(show_findings(*check_submission(file, archive, output, registry), as_json))


@app.command("rehearse", short_help="Run a submission as its platform does; compare outputs.")
def rehearse(
    file: File,
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    cases: arguments.Cases = "*",
    count: Annotated[int, typer.Option("--count", min=1, help="Number of cases to predict.")] = 3,
    output: Output = Path("build"),
    engine: EngineName = "auto",
    train: Train = False,
    stamp: Stamp = "",
    as_json: arguments.AsJson = False,
) -> None:
    """Run a submission as its platform does, and compare every output with that of 'medbench run'."""
    from medbench.cli.console import ConsoleProgress
    from medbench.cli.results_submit import show_rehearsal
    from medbench.submissions.build.request import BuildRequest
    from medbench.submissions.workflow import rehearse as rehearse_submission

    request = BuildRequest(file, data, split, output, train, stamp=stamp)
    result = rehearse_submission(request, engine, ConsoleProgress(), pattern=cases, count=count)
    raise typer.Exit(show_rehearsal(result, as_json))


@app.command("host", short_help="For organisers: a challenge's evaluation program.")
def host(
    context: typer.Context,
    challenge: arguments.ChallengeName,
    platform: Annotated[str, typer.Option("--platform", help="grand-challenge or codabench.")],
    data: arguments.DataFolder = None,
    split: arguments.Split = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Rehearse the evaluation on these predictions, or on a participant's program.",
        ),
    ] = None,
    ingestion: Annotated[
        bool,
        typer.Option("--ingestion", help="Codabench: participants submit programs, not results."),
    ] = False,
    packages: Annotated[
        Literal["index", "vendored", "base"],
        typer.Option(
            "--packages",
            help="Source of the image's packages: pip's index, copies from this machine, or the base image.",
        ),
    ] = "index",
    output: Output = Path("build"),
    engine: EngineName = "auto",
    registry: Registry = "",
) -> None:
    """For organisers: write a challenge's evaluation program, rehearse it, and save it for the upload."""
    from medbench.cli.console import ConsoleProgress
    from medbench.submissions.host.program import HostRequest
    from medbench.submissions.host.workflow import host_challenge, host_named

    if host_named(platform) == "grand-challenge":
        reason = "on grand-challenge, which takes the image's archive"
        refuse_ignored(context, ("registry",), reason)
    request = HostRequest(challenge, host_named(platform), data, split, packages, ingestion, registry)
    lines = host_challenge(request, output, ConsoleProgress(), predictions=predictions, engine=engine)
    for line in lines:
        typer.echo(line)


@app.command("save", short_help="Write the file to upload, and its report.")
def save(
    file: File, output: Output = Path("build"), engine: EngineName = "auto", registry: Registry = ""
) -> None:
    """Write the file to upload, with its SHA-256 and the report of the last rehearsal beside it."""
    from medbench.submissions.workflow import save as save_submission

    for line in save_submission(file, output, engine, registry):
        typer.echo(line)
