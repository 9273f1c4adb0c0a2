"""Predictions without scoring, as by ``medbench predict``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.folders import at_home
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.core.writable import refuse_unwritable
from medbench.records.identity import code_sha256, plugin_settings
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.journal import UNFINISHED
from medbench.running.loop import predict_and_score
from medbench.running.request import PredictKeywords, Request

MARK = "made_by.json"


def predict(
    model: str,
    challenge: str,
    output: str | Path,
    *,
    progress: Progress | None = None,
    **keywords: Unpack[PredictKeywords],
) -> Sequence[CaseRow]:
    """Write predictions in the challenge's format into ``output/predictions``; needs no reference.

    The arguments are those of :func:`medbench.running.run.run`. A repeated call goes on where it stopped; a
    call with other weights or settings into the same folder is refused.

    Raises:
        MedbenchError: ``predict.other_settings``, and as :func:`medbench.running.run.run`.
    """
    return predict_request(Request.of(model, challenge, **keywords), at_home(output), progress)


def predict_request(request: Request, output: Path, progress: Progress | None = None) -> Sequence[CaseRow]:
    """As :func:`predict`, for a request that is already made.

    Raises:
        MedbenchError: as :func:`predict`.
    """
    progress = progress or SilentProgress()
    refuse_unwritable(output, folder=True)
    job = resolve(request, progress)
    mark_folder(output, _made_by(job))
    predictor = partial(job.predictor, output / UNFINISHED, progress)
    rows, _ = predict_and_score(
        job.challenge, job.cases, predictor, output, progress, read=job.read, score=False
    )
    job.challenge.exchange.gather(job.cases, output / "predictions")
    return rows


def mark_folder(output: Path, made_by: Mapping[str, Any]) -> None:
    """Note in a folder by what its predictions are made.

    Raises:
        MedbenchError: ``predict.other_settings`` for a folder that holds predictions of others.
    """
    mark, text = output / MARK, json.dumps({**made_by, "code_sha256": code_sha256()}, indent=2)
    holds_any = any(path.is_file() for path in (output / "predictions").rglob("*"))
    if holds_any and mark.exists() and mark.read_text(encoding="utf-8") != text:
        raise MedbenchError(
            "predict.other_settings",
            f"{output}: holds predictions made with other weights or settings.",
            "Choose another --output.",
        )
    write_text(mark, text)


def _made_by(job: Job | FoldedJob) -> dict[str, Any]:
    return {
        "model": job.network.name,
        "options": job.network.options,
        "weights_sha256": job.weights_sha256,
        "settings": {**job.settings(), **plugin_settings(), "cases": None},
    }
