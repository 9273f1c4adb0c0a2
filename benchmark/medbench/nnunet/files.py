"""Weights of nnU-Net's trained models, folders and exported archives, read without running code in them."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.files import read_bytes, read_json, sha256_file, sha256_json
from medbench.core.machine import memory_bytes
from medbench.core.seals import broken_seals, seal_of, write_seal
from medbench.core.unfinished import unfinished_folder
from medbench.inference.weights import save_checkpoint
from medbench.inference.wrappers import unwrapped
from medbench.models.checkpoint_files import refuse_damaged, refuse_infinite
from medbench.nnunet.architectures import check_plans
from medbench.nnunet.labels import IMAGE_SIZE
from medbench.nnunet.preparation import differing_parts, preparation_of, prepared_by

if TYPE_CHECKING:
    import torch

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
FACTS_KEY = "nnunet"
_FORM = 1
_FOLD = re.compile(r"fold_(\d{1,3}|all)")
"""Names of folds; copies that somebody kept beside them, such as fold_0_old, are none."""
MOST_TIMES = 20
"""How many times its size an archive may unpack to: weights hardly pack at all."""


def is_model(path: Path) -> bool:
    """Whether a path is a model of nnU-Net, a folder or an archive with plans, and no medbench checkpoint."""
    if path.is_dir() or _fold_of(path) is not None:
        return True
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = {PurePosixPath(name).name for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return path.suffix == ".zip"
    return PLANS in names or path.suffix == ".zip" or "data.pkl" not in names


def import_weights(path: Path, model: str, cache: Path) -> Path:
    """A medbench checkpoint with the weights of a model folder or archive, made once and cached.

    Args:
        path: a folder ``TRAINER__PLANS__CONFIGURATION``, one that holds exactly one of them, one of its
            folds or checkpoints, or an archive by ``nnUNetv2_export_model_to_zip``.
        model: model name for the checkpoint's facts.
        cache: folder of cached checkpoints.

    Raises:
        MedbenchError: ``weights.missing``, ``archive.outside``, ``nnunet.no_plans``, ``nnunet.several``,
            ``nnunet.no_checkpoint``, and as :func:`read_network`.
    """
    if not path.is_file() and not path.is_dir():
        raise MedbenchError("weights.missing", f"{path}: there is no such model.", "Check --weights.")
    fold = _fold_of(path)
    if fold is not None:
        name = fold.name.removeprefix("fold_")
        one = {name: path} if path.is_file() else {name: _checkpoints(fold.parent, path, fold.name)[name]}
        return _cached_checkpoint(_model_folder(fold.parent, path), path, model, cache, one)
    if path.is_dir():
        return _cached_checkpoint(_model_folder(path, path), path, model, cache)
    with unfinished_folder(cache) as folder:
        unpack(path, folder)
        return _cached_checkpoint(_model_folder(folder, path), path, model, cache)


def unpack(path: Path, folder: Path) -> None:
    """Unpack from an archive what prediction needs; nothing is written outside ``folder``.

    Raises:
        MedbenchError: ``archive.outside`` for a member that would lie elsewhere, ``archive.too_large`` for a
            bomb, ``archive.unreadable``.
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
            _check_sizes(members, path)
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


def _check_sizes(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse an archive whose files overlap, or unpack to far more than weights do."""
    size = path.stat().st_size
    total = sum(member.file_size for member in members)
    if total > MOST_TIMES * size or sum(member.compress_size for member in members) > size:
        raise MedbenchError(
            "archive.too_large",
            f"{path}: refused: {size:,} bytes would unpack to {total:,}, or its files overlap.",
            "Ask for an archive made by nnUNetv2_export_model_to_zip.",
        )


def _model_folder(folder: Path, source: Path) -> Path:
    """The only folder with plans and data set at or below a folder."""
    folders = [folder] if (folder / PLANS).is_file() else []
    folders = folders or sorted(
        plans.parent
        for plans in folder.glob("**/plans.json")
        if any(plans.parent.glob("fold_*")) or (plans.parent / DATASET).is_file()
    )
    if not folders:
        raise MedbenchError(
            "nnunet.no_plans",
            f"{source}: holds no {PLANS}, so it is no trained model of nnU-Net.",
            "Give the folder TRAINER__PLANS__CONFIGURATION with its fold_* folders, or an exported zip.",
        )
    if len(folders) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place in folders)
        raise MedbenchError(
            "nnunet.several", f"{source}: holds several models: {names}.", "Name one of them."
        )
    if not (folders[0] / DATASET).is_file():
        raise MedbenchError(
            "nnunet.no_plans", f"{source}: holds {PLANS} but no {DATASET}.", "Copy the whole model folder."
        )
    return folders[0]


def _fold_of(path: Path) -> Path | None:
    """The fold of a model folder that a path is or lies in; ``None`` for any other path."""
    place = path if path.is_dir() else path.parent
    is_fold = place.name.startswith("fold_") and (place.parent / PLANS).is_file()
    return place if is_fold and (path.is_dir() or path.suffix == ".pth") else None


def _checkpoints(folder: Path, source: Path, pattern: str = "fold_*") -> dict[str, Path]:
    """Checkpoints by fold, all of one kind: of the finished folds, or, where none is finished, the best.

    ``all`` only where there is no other, as nnU-Net chooses.
    """
    paths: dict[str, Path] = {}
    for name in CHECKPOINTS:
        places = [
            place
            for place in sorted(folder.glob(pattern))
            if _FOLD.fullmatch(place.name) and (place / name).is_file()
        ]
        paths = {place.name.removeprefix("fold_"): place / name for place in places}
        if paths:
            break
    if len(paths) > 1:
        paths.pop("all", None)
    if not paths:
        raise MedbenchError(
            "nnunet.no_checkpoint",
            f"{source}: has no fold_*/{CHECKPOINTS[0]}.",
            "Train it to the end, or copy the whole model folder.",
        )
    return paths


def _cached_checkpoint(
    folder: Path, source: Path, model: str, cache: Path, checkpoints: dict[str, Path] | None = None
) -> Path:
    checkpoints = checkpoints or _checkpoints(folder, source)
    files = [folder / PLANS, folder / DATASET, *checkpoints.values()]
    digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    checkpoint = cache / f"nnunet-{sha256_json([_FORM, model, digests])[:24]}.pt"
    seal = seal_of(checkpoint)
    if not checkpoint.exists() or not seal.exists() or broken_seals(seal, [checkpoint.name]):
        state, facts = read_network(folder, checkpoints, str(source))
        save_checkpoint(
            checkpoint, state, {"model": model, "options": {}, FACTS_KEY: {**facts, "files": digests}}
        )
        write_seal(seal, [checkpoint])
    return checkpoint


def read_network(
    folder: Path, checkpoints: dict[str, Path], source: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights of all folds, named ``fold_N.parameter``, and facts of a model folder.

    Args:
        folder: with plans and data set.
        checkpoints: path of each fold's checkpoint.
        source: name of the folder or archive in errors.

    Raises:
        MedbenchError: ``nnunet.no_plans`` for damaged JSON, ``weights.unsafe``, ``weights.corrupt``,
            ``weights.not_finite``, ``nnunet.configuration``.
    """
    try:
        plans, dataset = read_json(folder / PLANS), read_json(folder / DATASET)
        configurations = plans["configurations"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise MedbenchError(
            "nnunet.no_plans",
            f"{source}: its plans cannot be read ({type(error).__name__}: {error}).",
            "Copy the model folder again from its source.",
        ) from error
    state: dict[str, torch.Tensor] = {}
    facts: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for fold, path in checkpoints.items():
        checkpoint = load_safely(path)
        description = {
            "trainer": checkpoint["trainer_name"],
            "configuration": checkpoint["init_args"]["configuration"],
            "mirror_axes": list(checkpoint.get("inference_allowed_mirroring_axes") or ()),
        }
        preparation = preparation_of(checkpoint["init_args"])
        differing = differing_parts({**description, **preparation}, {**facts, **first})
        differing = differing or differing_parts(
            preparation, prepared_by(plans, description["configuration"])
        )
        if differing:
            raise MedbenchError(
                "nnunet.configuration",
                f"{source}: fold {fold} is of another training than the rest of the folder: its "
                f"{', '.join(differing)} differ.",
                "Name a folder of one training.",
            )
        facts, first = description, {**preparation, **first}
        for name, tensor in unwrapped(checkpoint["network_weights"]).items():
            state[f"fold_{fold}.{name}"] = tensor.detach()
    configuration = facts["configuration"]
    if configuration not in configurations or "previous_stage" in configurations[configuration]:
        raise MedbenchError(
            "nnunet.configuration",
            f"{source}: was trained as {configuration}, which needs an earlier stage or is not in its plans.",
            "Use a model trained as 2d, 3d_fullres or 3d_lowres.",
        )
    check_plans(plans, source)
    refuse_infinite(state, source)
    return state, {
        **facts,
        "plans_identifier": plans["plans_name"],
        "folds": list(checkpoints),
        "plans": plans,
        "dataset": dataset,
        "image_size": dataset.get(IMAGE_SIZE),
    }


def harmless_types() -> Sequence[Any]:
    """Types in nnU-Net's checkpoints besides tensors and plain values: numpy's numbers, which run no code."""
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
        MedbenchError: ``weights.unsafe``, ``weights.corrupt``, or ``file.too_large`` for one of more than
            half of the memory.
    """
    import torch

    content = read_bytes(path, memory_bytes() // 2)
    refuse_damaged(content, path)
    try:
        with torch.serialization.safe_globals(list(harmless_types())):
            checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        weights = checkpoint["network_weights"]
        wrong = not all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
        if wrong or not {"trainer_name", "init_args"} <= set(checkpoint):
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
    return dict(checkpoint)
