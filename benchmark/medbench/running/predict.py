"""``medbench predict``: predictions without scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file, write_text
from medbench.core.folders import runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.records.identity import code_sha256
from medbench.running.job import Inference, resolve
from medbench.running.loop import UNFINISHED, predict_and_score


def predict(
    model: str,
    challenge: str,
    output: str | Path,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    weights: str | Path = "auto",
    recipe: str | None = None,
    options: dict[str, Any] | None = None,
    inference: Inference | None = None,
    cases: str = "*",
    seed: int = 0,
    runs: str | Path | None = None,
    progress: Progress | None = None,
) -> Sequence[CaseRow]:
    """Write predictions in the challenge's format into ``output/predictions``; needs no reference.

    The arguments are those of :func:`run`. A repeated call goes on where it stopped; a call with other
    weights or settings into the same folder is refused.

    Raises:
        MedbenchError: ``predict.other_settings``, and as :func:`run`.
    """
    progress = progress or SilentProgress()
    job = resolve(
        model,
        challenge,
        data=data,
        split=split,
        weights=weights,
        recipe=recipe,
        options=options,
        inference=inference,
        cases=cases,
        seed=seed,
        runs=Path(runs) if runs else runs_folder(),
        progress=progress,
    )
    folder = Path(output)
    made_by = json.dumps(
        {
            "model": model,
            "options": job.network.options,
            "weights_sha256": sha256_file(job.weights) if job.weights else None,
            "settings": {**job.settings(), "cases": None},
            "code_sha256": code_sha256(),
        },
        indent=2,
    )
    mark = folder / "made_by.json"
    if mark.exists() and mark.read_text(encoding="utf-8") != made_by:
        raise MedbenchError(
            "predict.other_settings",
            f"{folder}: holds predictions made with other weights or settings.",
            "Choose another --output.",
        )
    write_text(mark, made_by)
    predictor = partial(job.predictor, folder / UNFINISHED, progress)
    rows, _ = predict_and_score(
        job.challenge, job.cases, predictor, folder, progress, read=job.read, score=False
    )
    return rows
