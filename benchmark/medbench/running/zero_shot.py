"""Requests of zero-shot classification: prompts from a file, and the pre-training that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import parse_toml, read_json
from medbench.core.folders import at_home, runs_folder
from medbench.core.registry import unknown_name
from medbench.io.report_text import report_sentences
from medbench.io.tables import plain_text
from medbench.running.pretrain import DATA_SET, TOKENIZER

PREDICTORS = {"cm_cgns": "cm_cgns.zero_shot"}
"""Models with a pre-training -> the network that compares images with prompts."""


def zero_shot_options(options: Mapping[str, Any], prompts: Path) -> dict[str, Any]:
    """Options of a run or prediction whose classes are what prompts say.

    Args:
        options: as the command has them: model, challenge, weights …
        prompts: TOML file: name of each of the challenge's classes = a list of prompts.

    Raises:
        MedbenchError: ``prompts.model``, ``prompts.file``, ``prompts.classes``, ``weights.none`` or
            ``tokenizer.missing``.
    """
    from medbench.training.report_tokens import load_tokenizer, tokenize

    model = options.get("model")
    if model not in PREDICTORS:
        error = unknown_name("model that takes prompts", str(model), PREDICTORS)
        raise MedbenchError("prompts.model", error.message, error.hint)
    challenge = load_challenge(options.get("challenge") or DATA_SET)
    by_class = read_prompts(prompts, challenge.card.image_classes)
    weights = pretrained_weights(str(model), options.get("weights", "auto"), options.get("runs"))
    tokenizer = load_tokenizer(weights.with_name(TOKENIZER))
    tokens = [
        [[*map(list, tokenize(tokenizer, _sentences(prompt), 64))] for prompt in by_class[name]]
        for name in challenge.card.image_classes
    ]
    return {
        **options,
        "model": PREDICTORS[str(model)],
        "challenge": challenge.name,
        "weights": str(weights),
        "set": {**options.get("set", {}), "prompts": tokens},
    }


def _sentences(prompt: str) -> Sequence[str]:
    return report_sentences(prompt) or (prompt.lower(),)


def read_prompts(path: Path, classes: Sequence[str]) -> dict[str, list[str]]:
    """Prompts of each class.

    Args:
        path: TOML: name of a class = a list of prompts.
        classes: that must be there.

    Raises:
        MedbenchError: ``prompts.file`` for what is no such file, ``prompts.classes`` naming classes that are
            missing, unknown or without a prompt.
    """
    if not path.is_file():
        raise MedbenchError("prompts.file", f"{path}: there is no such file.", "Check --prompts.")
    if not classes:
        raise MedbenchError(
            "prompts.classes", "The challenge demands no classes of images.", "Choose one that does."
        )
    try:
        content = parse_toml(plain_text(path).encode())
    except ValueError as error:
        raise MedbenchError(
            "prompts.file", f"{path}: is no TOML: {error}.", 'Write lines like "Pneumothorax" = ["…", "…"].'
        ) from error
    for name in content:
        if name not in classes:
            unknown = unknown_name("class", name, classes)
            raise MedbenchError("prompts.classes", f"{path}: {unknown.message}", unknown.hint)
    by_class = {}
    for name in classes:
        prompts = content.get(name)
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if not prompts or not all(isinstance(text, str) and text.strip() for text in prompts):
            raise MedbenchError(
                "prompts.classes",
                f"{path}: the class '{name}' has no prompt.",
                f'Write a line "{name}" = ["…"].',
            )
        by_class[name] = prompts
    return by_class


def pretrained_weights(model: str, weights: str, runs: str | Path | None = None) -> Path:
    """Weights of a pre-training: a file or its folder, or with ``auto`` the latest that is done.

    Args:
        model: with a pre-training.
        weights: ``auto``, a folder or a file.
        runs: folder of run directories.

    Raises:
        MedbenchError: ``weights.none`` or ``weights.missing``.
    """
    if weights != "auto":
        path = at_home(weights)
        path = path / "weights.pt" if path.is_dir() else path
        if not path.is_file():
            raise MedbenchError(
                "weights.missing", f"{path}: there is no such checkpoint.", "Check --weights."
            )
        return path
    folder = (Path(runs) if runs else runs_folder()) / "pretraining" / model
    trainings = [
        (read_json(summary)["finished"], summary.with_name("weights.pt"))
        for summary in folder.glob("*/training.json")
    ]
    if not trainings:
        raise MedbenchError(
            "weights.none",
            f"{model} has not been pre-trained here.",
            f"Pre-train first (medbench pretrain -m {model} …), or give --weights RUN.",
        )
    return max(trainings)[1]
