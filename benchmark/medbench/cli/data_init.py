"""``medbench data init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of the data.", metavar="FOLDER")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the data set; the folder's if not given.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="Regular expression on case names; the part in () names the patient or video."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", help="Names of the label values, e.g. polyp=255,tool=128.", metavar="NAME=VALUE,…"
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Number of folds of a cross-validation.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the splits.")] = 0,
    file: Annotated[
        Path | None,
        typer.Option(
            "--project", help="Project file; the nearest medbench.toml upwards if not given.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Declare a folder of your own data in medbench.toml, so that every command takes it as a challenge.

    Known layouts: images and masks in two folders or side by side, nnU-Net's, MSD's, COCO JSON, a CSV of
    paths, and folders of classes. Splits are drawn once, by group, and kept beside medbench.toml with their
    hash.
    """
    from medbench.cli.parsing import parse_labels
    from medbench.running.declaring import Wishes, declare

    wishes = Wishes(group=group, labels=parse_labels(labels), folds=folds, seed=seed)
    declaration = declare(folder, name, wishes, file)
    for line in declaration.lines:
        typer.echo(line)
    raise typer.Exit(0 if declaration.complete else 1)
