"""``medbench pretrain``: fit a network to pairs of image and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges import load_challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_file, sha256_json
from medbench.core.first_process import is_first_process
from medbench.core.folders import data_folder, runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.core.registry import unknown_name
from medbench.core.text import counted_are
from medbench.io.gate.listing import visible_paths
from medbench.models import model_entry
from medbench.models.registry import check_options
from medbench.running.data import resolve_data
from medbench.running.samples import is_sample
from medbench.training.pretraining_recipe import PretrainingRecipe, load_pretraining_recipe

if TYPE_CHECKING:
    from medbench.challenges.mimic_cxr.pairs import SplitPairs
    from medbench.models.cm_cgns.pretraining_network import PretrainingNetwork
    from medbench.training.hardware import Hardware

NETWORKS = {"cm_cgns": "cm_cgns.pretraining"}
"""Models whose authors pre-train them on pairs -> the network that is trained."""
DATA_SET = "mimic_cxr"
TOKENIZER = "tokenizer"
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "contrastive alone": {"guidance": "none", "reconstruct": False},
    "without clusters": {"guidance": "plain", "reconstruct": True},
    "without reconstruction": {"guidance": "clusters", "reconstruct": False},
    "whole": {"guidance": "clusters", "reconstruct": True},
}
"""Rows of the ablation table -> options of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRequest:
    """Everything that a pre-training is asked for.

    Attributes:
        model: model name, ``cm_cgns``.
        data: folder in the layout of MIMIC-CXR-JPG; else ``MEDBENCH_DATA/mimic_cxr``, else the sample.
        recipe: name of a recipe; ``None`` takes ``default``, and ``quick`` on the sample.
        recipe_changes: settings that differ from the recipe's.
        options: of the network, before those of the recipe.
        tokenizer: local folder of a tokenizer; ``None`` makes a vocabulary of the training reports.
        text_weights: local folder or file of a BERT's weights; ``None`` takes random ones.
        image_weights: file of a ResNet-50's (ViT-B/16's) weights; ``None`` takes random ones.
        runs: folder of run directories.
    """

    model: str = "cm_cgns"
    data: Path | None = None
    recipe: str | None = None
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    text_weights: Path | None = None
    image_weights: Path | None = None
    runs: Path | None = None

    @property
    def network(self) -> str:
        """Name of the network that is trained.

        Raises:
            MedbenchError: ``pretrain.model`` for a model without a pre-training.
        """
        if self.model not in NETWORKS:
            error = unknown_name("model with a pre-training", self.model, NETWORKS)
            raise MedbenchError("pretrain.model", error.message, error.hint)
        return NETWORKS[self.model]

    @property
    def folder(self) -> Path:
        """Folder of the model's pre-trainings."""
        return (self.runs or runs_folder()) / "pretraining" / self.model


def pretrain(
    request: PretrainRequest, hardware: Hardware | None = None, progress: Progress | None = None
) -> Path:
    """Pre-train a model; an interrupted training is resumed, a finished one is not repeated.

    Args:
        request: what is asked for.
        hardware: devices and precision.
        progress: told of every step.

    Returns:
        Path of the weights; ``training.json`` beside them records settings and figures, ``tokenizer`` the
        vocabulary.

    Raises:
        MedbenchError: for unknown names, unreadable data, tokenizer or weights, or a diverged training.
    """
    from medbench.training.hardware import Hardware as DefaultHardware
    from medbench.training.hardware import present_hardware
    from medbench.training.result_files import training_summary

    progress = progress if progress and is_first_process() else SilentProgress()
    hardware = hardware or DefaultHardware()
    hardware.check()
    check_options(model_entry(request.network), request.options)
    for path in (request.text_weights, request.image_weights):
        if path is not None and not path.exists():
            raise MedbenchError("weights.missing", f"{path}: there is no such file.", "Check its path.")
    recipe = load_pretraining_recipe(request.recipe or own_recipe(request), request.recipe_changes)
    _check_length(request, recipe)
    hardware = present_hardware(hardware)
    from medbench.training.pair_data import PairImages
    from medbench.training.pretraining_fit import PairLearner, fit_pairs
    from medbench.training.pretraining_judge import judge
    from medbench.training.report_tokens import load_tokenizer, make_tokenizer, tokenize

    tokenizer = load_tokenizer(request.tokenizer) if request.tokenizer else None
    data = resolve_data(load_challenge(DATA_SET), request.data, progress)
    pairs = _read(data, progress)
    facts = _facts(request, recipe, data, pairs, hardware)
    folder = request.folder / f"{recipe.name}-{sha256_json(facts)[:12]}"
    if (summary := training_summary(folder)) is not None:
        progress.say(f"This pre-training is done: {folder} ({summary['finished']}).")
        return folder / "weights.pt"
    if tokenizer is None:
        tokenizer = make_tokenizer((pair.sentences for pair in pairs.of("train")), folder / TOKENIZER)
    else:
        tokenizer.save_pretrained(folder / TOKENIZER)
    options = {
        **recipe.network,
        "image_size": recipe.image_size,
        "vocabulary_size": len(tokenizer),
        **request.options,
    }
    tokens = [tokenize(tokenizer, pair.sentences, recipe.max_tokens) for pair in pairs.pairs]
    dataset = PairImages(pairs.pairs, tokens, recipe, int(tokenizer.pad_token_id or 0))
    learner = PairLearner(
        partial(_build, request, options),
        dataset,
        pairs.indices["train"],
        pairs.indices["validate"],
        partial(judge, dataset, pairs.indices["train"], pairs.indices["test"], recipe.seed),
    )
    for side, path in (("text", request.text_weights), ("image", request.image_weights)):
        progress.say(f"The {side} encoder starts from {path or 'random weights'}.")
    return fit_pairs(
        learner,
        recipe,
        folder,
        {**facts, "model": request.network, "options": options, "refused": pairs.reasons},
        hardware=hardware,
        progress=progress,
    )


def ablate(
    request: PretrainRequest, hardware: Hardware | None = None, progress: Progress | None = None
) -> dict[str, Mapping[str, Any]]:
    """Pre-train with each idea of the paper switched off, in one loop: row of the table -> figures.

    Args:
        request: what is asked for; its options hold in every row.
        hardware: devices and precision.
        progress: told of every step.

    Raises:
        MedbenchError: as :func:`pretrain`.
    """
    import dataclasses

    rows = {}
    for row, options in ABLATIONS.items():
        weights = pretrain(
            dataclasses.replace(request, options={**request.options, **options}), hardware, progress
        )
        summary = weights.with_name("training.json")
        if summary.exists():
            rows[row] = read_json(summary)["evaluation"]
    return rows


def _read(data: Data, progress: Progress) -> SplitPairs:
    from medbench.challenges.mimic_cxr.pairs import split_pairs

    pairs = split_pairs(data.root)
    if pairs.reasons:
        progress.say(f"{counted_are(len(pairs.reasons), 'pair')} left out; the first: {pairs.reasons[0]}")
    return pairs


def own_recipe(request: PretrainRequest) -> str:
    """Name of the recipe where none is asked for; no sample is drawn to tell."""
    folder = request.data or data_folder(DATA_SET)
    return "quick" if folder is None or is_sample(folder) else "default"


def _check_length(request: PretrainRequest, recipe: PretrainingRecipe) -> None:
    """Refuse reports that may be longer than the network's places for tokens.

    Raises:
        MedbenchError: ``recipe.setting``.
    """
    own = model_entry(request.network).options["max_tokens"].default
    most = int({"max_tokens": own, **recipe.network, **request.options}["max_tokens"])
    if recipe.max_tokens > most:
        raise MedbenchError(
            "recipe.setting",
            f"max_tokens={recipe.max_tokens}: the network takes reports of at most {most} tokens.",
            f"Set both: --set max_tokens={recipe.max_tokens}, or shorter reports by --recipe-set max_tokens.",
        )


def _facts(
    request: PretrainRequest, recipe: PretrainingRecipe, data: Data, pairs: SplitPairs, hardware: Hardware
) -> dict[str, Any]:
    """Facts that decide the result, for the name of the folder and the record."""
    return {
        "pretraining": request.model,
        "data": data.kind,
        "data_set": DATA_SET,
        "pairs_sha256": sha256_json([[pair.id, *pair.sentences] for pair in pairs.pairs]),
        "n_pairs": {split: len(indices) for split, indices in pairs.indices.items()},
        "recipe": recipe.as_json(),
        "hardware": hardware.facts(recipe.batch_size),
        "given_options": dict(request.options),
        "tokenizer": _shown(request.tokenizer),
        "text_weights": _shown(request.text_weights),
        "image_weights": _shown(request.image_weights),
    }


def _shown(path: Path | None) -> str:
    """Name and hash of a file or folder that was given; ``none`` where none was."""
    if path is None:
        return "none"
    files = [child for child in visible_paths(path, "**/*") if child.is_file()] if path.is_dir() else [path]
    digest = sha256_json([[file.name, sha256_file(file)] for file in files])
    return f"{path.name} {digest[:16]}"


def _build(request: PretrainRequest, options: Mapping[str, Any]) -> PretrainingNetwork:
    from medbench.models import create_model
    from medbench.running.encoder_weights import load_image_weights, load_text_weights

    network: Any = create_model(request.network, **options)
    if request.text_weights is not None:
        load_text_weights(network.text_encoder, request.text_weights)
    if request.image_weights is not None:
        load_image_weights(network.image_encoder, request.image_weights)
    pretraining_network: PretrainingNetwork = network
    return pretraining_network
