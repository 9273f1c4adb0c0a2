"""Prediction of a folder of images without a challenge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from medbench.challenges.declared.bare import bare_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.core.sample import AnySample
from medbench.core.text import named
from medbench.io import images, raster
from medbench.io.gate.listing import list_folder
from medbench.records.identity import plugin_settings
from medbench.running.loop import predict_and_score
from medbench.running.predict import forget_changed, mark_folder
from medbench.running.predictors import ArrayPredictor

NO_VALUES = "Give the values that are black and white: --values 0,65535, or 0,4095 for 12 bits."


def predict_images(
    predictor: ArrayPredictor, folder: Path, output: Path, progress: Progress | None = None
) -> Sequence[CaseRow]:
    """Predict every image of a folder into ``output/predictions``; a repeated call goes on where it stopped.

    A volume of several modalities is ``<case>_0000.nii.gz`` …, as nnU-Net names them. Answers are written as
    those of the challenge that the weights learnt; where it is not known, label maps hold class indices.

    Raises:
        MedbenchError: ``data.missing``, ``data.empty``, ``predict.other_settings``.
    """
    progress = progress or SilentProgress()
    cases = image_cases(predictor, folder, progress)
    made_by = {
        "model": predictor.network.name,
        "options": predictor.network.options,
        "weights_sha256": predictor.setup.weights.sha256,
        "settings": {**predictor.setup.settings(), **plugin_settings()},
        "classes": list(predictor.classes),
        **({} if predictor.values is None else {"values": list(predictor.values)}),
    }
    mark_folder(output, made_by)
    forget_changed(output, cases, progress)
    challenge = predictor.setup.challenge
    rows, _ = predict_and_score(
        challenge,
        cases,
        predictor.setup.predictor,
        output,
        progress,
        read=_reader(predictor, folder),
        score=False,
    )
    challenge.exchange.gather(cases, output / "predictions")
    return rows


def check_images(folder: Path) -> None:
    """Refuse what is no folder, before a network is built for it.

    Raises:
        MedbenchError: ``data.missing``.
    """
    if not folder.is_dir():
        reason = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise MedbenchError("data.missing", f"{folder}: {reason}.", "Check --images.")


def image_cases(predictor: ArrayPredictor, folder: Path, progress: Progress) -> list[Case]:
    """A case for every image of a folder; for every volume with its modalities.

    Cases are called as their files without suffix; with it where several files share the rest of their names.

    Args:
        predictor: what it takes is looked for.
        folder: what lies in folders below it is left out.
        progress: told of what is left out.

    Raises:
        MedbenchError: ``data.missing``, ``data.empty`` naming the types that are read, or ``file.ambiguous``
            for two files of one modality.
    """
    check_images(folder)
    names = list(predictor.modalities)
    is_own = hasattr(predictor.setup.challenge.release, "declaration")
    suffixes = images.VOLUME_SUFFIXES if names else raster.SUFFIXES if is_own else images.SUFFIXES
    listing = list_folder(folder, set(suffixes))
    entries, others = listing.entries, [one.path for one in listing.unknown]
    kind = "volume" if names else "image"
    if not entries:
        lie_there = f" that {predictor.network.name} takes, but {named(others)}" if others else ""
        raise MedbenchError(
            "data.empty", f"{folder}: holds no {kind}{lie_there}.", f"Known: {', '.join(suffixes)}."
        )
    if others:
        are = "is no" if len(others) == 1 else "are no"
        progress.say(f"{folder}: {len(others)} of what lies there {are} {kind}: {named(others)}.")
    if len(names) < 2:
        key = names[0] if names else "image"
        stems = Counter(entry.stem for entry in entries)
        return [
            Case(entry.name if stems[entry.stem] > 1 else entry.stem, {key: entry.path}) for entry in entries
        ]
    by_case: dict[str, dict[str, Path]] = {}
    for entry in entries:
        stem, _, number = entry.stem.rpartition("_")
        index = int(number) if stem and number.isdecimal() else len(names)
        if index >= len(names):
            raise MedbenchError(
                "data.channels",
                f"{entry.path}: is named for none of the modalities {', '.join(names)}.",
                f"Name files CASE_0000{entry.suffix} to CASE_{len(names) - 1:04}{entry.suffix}, "
                "in this order.",
            )
        other = by_case.setdefault(stem, {}).setdefault(names[index], entry.path)
        if other != entry.path:
            facts = f"could be the {names[index]} of {stem}, and so could {other.name} beside it"
            raise MedbenchError("file.ambiguous", f"{entry.path}: {facts}.", "Keep one.")
    return [Case(name, inputs) for name, inputs in by_case.items()]


def _reader(predictor: ArrayPredictor, folder: Path) -> Callable[[Case], AnySample]:
    """The reader of a case: images of any kind as they are, volumes as the challenge reads them."""
    own = predictor.setup
    if own.challenge.card.modalities:
        return own.read
    task, classes = next(iter(own.challenge.card.demands.items()))
    plain = bare_challenge(folder, classes, values=predictor.values)

    def read(case: Case) -> AnySample:
        if images.suffix_of(case.inputs["image"]) not in raster.SUFFIXES:
            return own.read(case)
        try:
            sample = plain.exchange.inputs["image"].read(case)
        except MedbenchError as error:
            hint = NO_VALUES if error.code == "data.values" else error.hint
            raise MedbenchError(error.code, error.message, hint) from error
        return type(sample)(case, sample.images, frozenset({task}))

    return read
