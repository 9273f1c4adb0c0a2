"""Trained models as nnU-Net keeps them, folders and exported archives, read without running any of it."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_file, sha256_json
from medbench.core.seals import broken_seals, seal_of, write_seal
from medbench.inference.weights import refuse_infinite, save_checkpoint
from medbench.inference.wrappers import unwrapped
from medbench.nnunet.architectures import check_plans
from medbench.nnunet.labels import PICTURE_SIZE

if TYPE_CHECKING:
    import torch

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
FACTS_KEY = "nnunet"
_FORM = 1


def is_model(path: Path) -> bool:
    """Whether a path is a folder, or an archive that holds nnU-Net's plans, and no checkpoint of ours."""
    if path.is_dir():
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = {PurePosixPath(name).name for name in archive.namelist()}
    return PLANS in names or path.suffix == ".zip" or "data.pkl" not in names


def take_in(path: Path, model: str, cache: Path) -> Path:
    """A checkpoint file of ours with the weights of a model folder or archive, made once.

    Args:
        path: a folder ``TRAINER__PLANS__CONFIGURATION``, one that holds exactly one of them, or an archive
            by ``nnUNetv2_export_model_to_zip``.
        model: name that the checkpoint is to carry.
        cache: where checkpoints are kept.

    Raises:
        MedbenchError: ``weights.missing``, ``archive.outside``, ``nnunet.no_plans``, ``nnunet.several``,
            ``nnunet.no_checkpoint``, and as :func:`read_network`.
    """
    if not path.exists():
        raise MedbenchError("weights.missing", f"{path}: there is no such model.", "Check --weights.")
    if path.is_dir():
        return _kept(_model_folder(path, path), path, model, cache)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".unpacking-") as folder:
        unpack(path, Path(folder))
        return _kept(_model_folder(Path(folder), path), path, model, cache)


def unpack(path: Path, folder: Path) -> None:
    """Unpack what a prediction needs of an archive, within the folder.

    Raises:
        MedbenchError: ``archive.outside`` for a member that would lie elsewhere, ``archive.unreadable``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
                    raise MedbenchError(
                        "archive.outside",
                        f"{path}: refused: its member {member.filename} would be written outside its folder.",
                        "Ask for an archive made by nnUNetv2_export_model_to_zip.",
                    )
            for member in members:
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.name in (PLANS, DATASET, *CHECKPOINTS):
                    target = folder.joinpath(*name.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, open(target, "wb") as stream:
                        shutil.copyfileobj(source, stream, 1 << 20)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise MedbenchError(
            "archive.unreadable",
            f"{path}: cannot be unpacked ({type(error).__name__}: {error}).",
            "Copy it again from its source.",
        ) from error


def _model_folder(folder: Path, named: Path) -> Path:
    """The one folder with plans and data set at or below a folder."""
    found = [folder] if (folder / PLANS).is_file() else []
    found = found or sorted(
        plans.parent
        for plans in folder.glob("**/plans.json")
        if any(plans.parent.glob("fold_*")) or (plans.parent / DATASET).is_file()
    )
    if not found:
        raise MedbenchError(
            "nnunet.no_plans",
            f"{named}: holds no {PLANS}, so it is no trained model of nnU-Net.",
            "Give the folder TRAINER__PLANS__CONFIGURATION with its fold_* folders, or an exported zip.",
        )
    if len(found) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place in found)
        raise MedbenchError("nnunet.several", f"{named}: holds several models: {names}.", "Name one of them.")
    if not (found[0] / DATASET).is_file():
        raise MedbenchError(
            "nnunet.no_plans", f"{named}: holds {PLANS} but no {DATASET}.", "Copy the whole model folder."
        )
    return found[0]


def _checkpoints(folder: Path, named: Path) -> dict[str, Path]:
    """Checkpoints by fold, all of one kind: of the finished folds, or, where none is finished, the best.

    ``all`` only where there is no other, as nnU-Net chooses.
    """
    found: dict[str, Path] = {}
    for name in CHECKPOINTS:
        places = [place for place in sorted(folder.glob("fold_*")) if (place / name).is_file()]
        found = {place.name.removeprefix("fold_"): place / name for place in places}
        if found:
            break
    if len(found) > 1:
        found.pop("all", None)
    if not found:
        raise MedbenchError(
            "nnunet.no_checkpoint",
            f"{named}: has no fold_*/{CHECKPOINTS[0]}.",
            "Train it to the end, or copy the whole model folder.",
        )
    return found


def _kept(folder: Path, named: Path, model: str, cache: Path) -> Path:
    checkpoints = _checkpoints(folder, named)
    files = [folder / PLANS, folder / DATASET, *checkpoints.values()]
    digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    kept = cache / f"nnunet-{sha256_json([_FORM, model, digests])[:24]}.pt"
    seal = seal_of(kept)
    if not kept.exists() or not seal.exists() or broken_seals(seal, [kept.name]):
        state, facts = read_network(folder, checkpoints, str(named))
        save_checkpoint(kept, state, {"model": model, "options": {}, FACTS_KEY: {**facts, "files": digests}})
        write_seal(seal, [kept])
    return kept


def read_network(
    folder: Path, checkpoints: dict[str, Path], named: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights ``fold_N.parameter`` and facts of a model folder.

    Args:
        folder: with plans and data set.
        checkpoints: by fold.
        named: names it in errors.

    Raises:
        MedbenchError: ``nnunet.no_plans`` for damaged JSON, ``weights.unsafe``, ``weights.corrupt``,
            ``weights.not_finite``, ``nnunet.configuration``.
    """
    try:
        plans, dataset = read_json(folder / PLANS), read_json(folder / DATASET)
        known = plans["configurations"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise MedbenchError(
            "nnunet.no_plans",
            f"{named}: its plans cannot be read ({type(error).__name__}: {error}).",
            "Copy the model folder again from its source.",
        ) from error
    state: dict[str, torch.Tensor] = {}
    facts: dict[str, Any] = {}
    for fold, path in checkpoints.items():
        loaded = load_safely(path)
        described = {
            "trainer": loaded["trainer_name"],
            "configuration": loaded["init_args"]["configuration"],
            "mirror_axes": list(loaded.get("inference_allowed_mirroring_axes") or ()),
        }
        if facts and described != facts:
            raise MedbenchError(
                "nnunet.configuration",
                f"{named}: its folds differ ({described} and {facts}).",
                "Name a folder of one training.",
            )
        facts = described
        for name, tensor in unwrapped(loaded["network_weights"]).items():
            state[f"fold_{fold}.{name}"] = tensor.detach()
    configuration = facts["configuration"]
    if configuration not in known or "previous_stage" in known[configuration]:
        raise MedbenchError(
            "nnunet.configuration",
            f"{named}: was trained as {configuration}, which needs an earlier stage or is not in its plans.",
            "Use a model trained as 2d, 3d_fullres or 3d_lowres.",
        )
    check_plans(plans, named)
    refuse_infinite(state, named)
    return state, {
        **facts,
        "plans_identifier": plans["plans_name"],
        "folds": list(checkpoints),
        "plans": plans,
        "dataset": dataset,
        "image_size": dataset.get(PICTURE_SIZE),
    }


def harmless_types() -> Sequence[Any]:
    """What nnU-Net's checkpoints hold besides tensors and plain values: numbers of numpy's."""
    kinds = ("Float16", "Float32", "Float64", "Int32", "Int64", "Bool")
    scalar = importlib.import_module("numpy._core.multiarray").scalar
    return [
        (scalar, "numpy._core.multiarray.scalar"),
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        *(getattr(np.dtypes, f"{kind}DType") for kind in kinds),
    ]


def load_safely(path: Path) -> dict[str, Any]:
    """A checkpoint of nnU-Net, refusing whatever could run code.

    Raises:
        MedbenchError: ``weights.unsafe`` or ``weights.corrupt``.
    """
    import torch

    try:
        with torch.serialization.safe_globals(list(harmless_types())):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        weights = loaded["network_weights"]
        wrong = not all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
        if wrong or not {"trainer_name", "init_args"} <= set(loaded):
            raise TypeError("it is no checkpoint of nnU-Net v2")
    except pickle.UnpicklingError as error:
        raise MedbenchError(
            "weights.unsafe",
            f"{path}: refused: it holds more than tensors and plain values, so loading it could run code.",
            "Ask its author for a checkpoint of nnU-Net v2 itself.",
        ) from error
    except Exception as error:
        raise MedbenchError(
            "weights.corrupt",
            f"{path}: cannot be read as a checkpoint of nnU-Net ({type(error).__name__}: {error}).",
            "Copy the file again from its source.",
        ) from error
    return dict(loaded)
