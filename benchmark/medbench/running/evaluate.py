"""``medbench evaluate``: scores for predictions, whoever made them."""

from __future__ import annotations

import shlex
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file, sha256_json
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.records.identity import code_sha256, manifest_sha256
from medbench.records.reading import Finished
from medbench.records.schema import ModelRecord
from medbench.records.writing import make_record, now
from medbench.running.data import choose_cases, resolve_data
from medbench.running.finishing import store
from medbench.running.loop import score_predictions


def evaluate(
    challenge: str,
    predictions: str | Path,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    name: str | None = None,
    rename: tuple[str, str] | None = None,
    cases: str = "*",
    seed: int = 0,
    runs: str | Path | None = None,
    leaderboards: str | Path | None = None,
    progress: Progress | None = None,
) -> Finished:
    """Score a folder of predictions, whoever made them, exactly as a run of ours.

    Args:
        challenge: challenge name.
        predictions: the folder; files at the challenge's own places, or all in one folder by name.
        data: as for :func:`run`.
        split: as for :func:`run`.
        name: how the leaderboard calls the entry; the folder's name if not given.
        rename: ``(old, new)``: a prediction's file name is its reference's with ``old`` replaced.
        cases: shell-style pattern of case ids; a partial evaluation enters no leaderboard.
        seed: of the resampling.
        runs: folder of run directories.
        leaderboards: folder of leaderboards.
        progress: told of every step.

    Raises:
        MedbenchError: when the request cannot be met; failed cases are in the record instead.
    """
    progress = progress or SilentProgress()
    started = now()
    folder_given = Path(predictions)
    if not folder_given.is_dir():
        raise MedbenchError(
            "predictions.missing", f"{folder_given}: there is no such folder.", "Check --predictions."
        )
    loaded = load_challenge(challenge)
    chosen_split = split or loaded.release.default_split
    loaded.release.check_split(chosen_split)
    resolved = resolve_data(loaded, Path(data) if data is not None else None, progress)
    chosen = choose_cases(loaded.cases(resolved.root, chosen_split), cases)
    manifest = manifest_sha256(resolved.root, chosen)
    located = [loaded.locate(case, folder_given, rename) for case in chosen]
    if not any(located):
        raise MedbenchError(
            "predictions.none",
            f"{folder_given}: holds no file for any of the {len(chosen)} cases, "
            f"for example {loaded.exchange.prediction_name(chosen[0])}.",
            "Name predictions as the challenge does, or map names with --rename OLD=NEW.",
        )
    title = name or folder_given.resolve().name
    digests = [sha256_file(path) if path else "missing" for path in located]
    identity = {
        "predictions": digests,
        "challenge": challenge,
        "split": chosen_split,
        "data": resolved.kind,
        "manifest": manifest,
        "name": title,
        "code": code_sha256(),
    }
    key = sha256_json(identity)
    folder = (Path(runs) if runs else runs_folder()) / challenge / "predictions" / key[:16]
    rows, timing = score_predictions(loaded, chosen, folder_given, folder, progress, rename=rename)
    arguments = ["medbench", "evaluate", "-c", challenge, "--predictions", str(predictions)]
    arguments += ["--data", str(data)] if data is not None else []
    arguments += ["--split", split] if split else []
    arguments += ["--rename", "=".join(rename)] if rename else []
    record = make_record(
        loaded,
        resolved,
        chosen_split,
        chosen,
        rows,
        timing,
        manifest,
        key,
        started,
        model=ModelRecord(name="predictions", title=title, weights="foreign"),
        settings={"cases": cases},
        seed=seed,
        device="cpu",
        command=shlex.join(arguments),
        citations=[loaded.card.citation],
    )
    finished = Finished(record, rows, folder)
    board = Path(leaderboards) if leaderboards else leaderboards_folder()
    store(finished, loaded, chosen, folder_given, board if cases == "*" else None)
    return finished
