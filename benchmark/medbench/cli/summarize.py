"""``medbench summarize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench.cli import arguments
from medbench.cli.ignored import refuse_ignored
from medbench.core.text import counted


def command(
    context: typer.Context,
    video: Annotated[Path, typer.Argument(help="Video file.")],
    model: arguments.Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="MP4 file; .json and .jpg of the same name lie beside it.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Model weights, the weights.pt of medbench train.")
    ] = None,
    feature_weights: Annotated[
        Path | None,
        typer.Option("--feature-weights", help="GoogLeNet weights of torchvision (.pth), for the features."),
    ] = None,
    random_features: Annotated[
        bool,
        typer.Option(
            "--random-features", help="Compute features with random weights; the summary then means nothing."
        ),
    ] = False,
    share: Annotated[
        float, typer.Option("--share", min=0.01, max=1.0, help="Longest summary, as a fraction of the video.")
    ] = 0.15,
    sampling: arguments.Sampling = "every_15th",
    device: arguments.Device = "auto",
    as_json: arguments.AsJson = False,
) -> None:
    """Summarise a video: an MP4 of the chosen shots with sound, scores as JSON, and a contact sheet."""
    from medbench.cli.console import ConsoleProgress, print_json
    from medbench.cli.parsing import parse_sampling
    from medbench.running.summarize import SummaryRequest, summarize

    if feature_weights is not None:
        refuse_ignored(context, ("random_features",), "with --feature-weights", "Leave one of the two out.")
    request = SummaryRequest(
        model=model,
        video=video,
        output=output,
        weights=weights,
        feature_weights=feature_weights,
        random_features=random_features,
        share=share,
        sampling=parse_sampling(sampling),
        device=device,
    )
    facts = summarize(request, ConsoleProgress())
    if as_json:
        print_json(facts)
        return
    n_chosen = sum(shot["chosen"] for shot in facts["shots"])
    typer.echo(
        f"{output}: {n_chosen} of {counted(len(facts['shots']), 'shot')}, {facts['summary_frames']} "
        f"of {counted(facts['frames'], 'frame')}; {output.with_suffix('.json')}, {output.with_suffix('.jpg')}"
    )
