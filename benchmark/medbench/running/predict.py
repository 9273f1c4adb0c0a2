"""Predictions without scoring, as by ``medbench predict``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json, write_text
from medbench.core.folders import at_home
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.core.seals import read_lines
from medbench.core.text import agreeing, named
from medbench.core.writable import refuse_unwritable
from medbench.records.identity import code_sha256, input_digests, plugin_settings
from medbench.records.reading import JOURNAL
from medbench.running.job import FoldedJob, Job, resolve
from medbench.running.journal import UNFINISHED
from medbench.running.loop import predict_and_score
from medbench.running.request import PredictKeywords, Request

MARK, INPUTS = "made_by.json", "inputs.json"


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
    forget_changed(output, job.cases, progress)
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


def forget_changed(output: Path, cases: Sequence[Case], progress: Progress) -> None:
    """Remove predictions in a folder that are of other inputs than the cases have now.

    Args:
        output: the folder; it keeps the hashes of the inputs.
        cases: to predict.
        progress: told of what is predicted again.
    """
    place, own = output / INPUTS, input_digests(cases)
    before = _json_object(place)
    others = {case: None for case, digest in own.items() if before.get(case, digest) != digest}
    if others:
        rows = [
            CaseRow.from_json(line.row) for line in read_lines(output / JOURNAL) if line.state == "sealed"
        ]
        for name in (name for row in rows if row.case in others for name in row.predictions):
            (output / "predictions" / name).unlink(missing_ok=True)
        have = agreeing(len(others), "case has", "cases have")
        progress.say(
            f"{output}: {len(others)} {have} other inputs than before, predicted again: {named([*others])}."
        )
    write_json(place, {**before, **own})


def _json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of ours; an empty one where there is none, or it is damaged."""
    try:
        content = read_json(path) if path.exists() else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _made_by(job: Job | FoldedJob) -> dict[str, Any]:
    return {
        "model": job.network.name,
        "options": job.network.options,
        "weights_sha256": job.weights_sha256,
        "settings": {**job.settings(), **plugin_settings(), "cases": None},
    }
