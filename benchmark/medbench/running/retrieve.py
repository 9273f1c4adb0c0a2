"""``medbench retrieve``: which report of a split is most like each of its radiographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import dump_json, write_text
from medbench.core.progress import Progress, SilentProgress
from medbench.core.writable import refuse_unwritable
from medbench.inference.weights import load_checkpoint, load_into
from medbench.models import create_model
from medbench.running.data import resolve_data
from medbench.running.pretrain import DATA_SET, TOKENIZER
from medbench.running.zero_shot import pretrained_weights
from medbench.training.pretraining_recipe import PretrainingRecipe

CLOSEST = 5
HITS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Reports found for radiographs.

    Attributes:
        rows: for each image its id, the rank of its own report from 1 on, and the ids of the closest pairs.
        hit_share: number of reports -> share of the images whose own is among as many of the most alike.
        refusals: why pairs are left out.
    """

    rows: tuple[dict[str, Any], ...]
    hit_share: dict[int, float]
    refusals: tuple[str, ...]


def retrieve(
    model: str,
    output: Path,
    *,
    data: Path | None = None,
    split: str = "test",
    weights: str = "auto",
    runs: Path | None = None,
    progress: Progress | None = None,
) -> Retrieved:
    """Rank the reports of a split by each of its radiographs, and write a JSON line for each.

    Args:
        model: with a pre-training.
        output: file for the lines.
        data: folder in the layout of MIMIC-CXR-JPG; else as a run finds it.
        split: ``train``, ``validate`` or ``test``.
        weights: ``auto`` for the latest pre-training, a run's folder, or a file.
        runs: folder of run directories.
        progress: told of what is drawn.

    Raises:
        MedbenchError: ``output.unwritable``, for unreadable data or weights, or ``weights.other_model``.
    """
    refuse_unwritable(output)
    path = pretrained_weights(model, weights, runs)
    from medbench.challenges.mimic_cxr.pairs import training_pairs
    from medbench.training.pair_data import PairImages
    from medbench.training.pretraining_judge import embed
    from medbench.training.report_tokens import load_tokenizer, tokenize

    checkpoint = load_checkpoint(path)
    facts = checkpoint.facts
    if "pretraining" not in facts:
        raise MedbenchError(
            "weights.other_model",
            f"{path}: these weights are of no pre-training.",
            "Give weights of medbench pretrain.",
        )
    recipe = PretrainingRecipe(**facts["recipe"])
    root = resolve_data(load_challenge(DATA_SET), data, progress or SilentProgress()).root
    pairs, refusals = training_pairs(root, split)
    tokenizer = load_tokenizer(path.with_name(TOKENIZER))
    tokens = [tokenize(tokenizer, pair.sentences, recipe.max_tokens) for pair in pairs]
    network: Any = create_model(facts["model"], **facts["options"])
    load_into(network, facts["model"], checkpoint, str(path))
    dataset = PairImages(pairs, tokens, recipe, int(tokenizer.pad_token_id or 0))
    vectors = embed(network, dataset, range(len(pairs)))
    likeness = vectors.images @ vectors.reports.T
    ranks = 1 + (likeness > likeness.diagonal()[:, None]).sum(axis=1)
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :CLOSEST]
    rows = tuple(
        {"id": pair.id, "rank": int(rank), "closest": [pairs[k].id for k in closest]}
        for pair, rank, closest in zip(pairs, ranks, order, strict=True)
    )
    write_text(output, "".join(dump_json(row) + "\n" for row in rows))
    shares = {count: float(np.mean(ranks <= count)) for count in HITS}
    return Retrieved(rows, shares, tuple(error.message for error in refusals))
