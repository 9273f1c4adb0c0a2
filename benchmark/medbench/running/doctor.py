"""Checks of this machine."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.folders import cache_folder, data_folder, leaderboards_folder, runs_folder
from medbench.core.text import counted
from medbench.core.unfinished import left_behind

_NEEDED = (
    "numpy", "scipy", "opencv-python-headless", "simplejpeg", "kornia-rs", "nibabel", "h5py", "tifffile",
    "zlib-ng", "filelock", "pydantic", "typer", "rich", "tabulate",
)  # fmt: skip
_EXTRAS = {
    "models": ("torch", "torchvision", "timm", "segmentation-models-pytorch"),
    "training": ("lightning", "monai"),
    "nnunet": ("nnunetv2",),
    "slides": ("tiffslide", "imagecodecs"),
    "video": ("av",),
    "resampling": ("SimpleITK",),
    "reference": ("medpy",),
}


@dataclass(frozen=True, slots=True)
class Examined:
    """The state of one part of the machine, in words."""

    what: str
    state: str
    fine: bool
    optional: bool = True
    advice: str = ""


def examine() -> list[Examined]:
    """States of Python, packages, devices, memory, folders and container engines."""
    version = sys.version.split()[0]
    findings = [
        Examined(
            "Python",
            version,
            sys.version_info >= (3, 11),
            False,
            "" if sys.version_info >= (3, 11) else "Use 3.11 or newer.",
        )
    ]
    findings += [_package(name, "", optional=False) for name in _NEEDED]
    findings += [_package(name, extra) for extra, names in _EXTRAS.items() for name in names]
    findings += [_torch_devices(), _memory()]
    findings += [
        _folder("cache (MEDBENCH_CACHE)", cache_folder()),
        _folder("runs (MEDBENCH_RUNS)", runs_folder()),
    ]
    findings.append(_folder("leaderboards (MEDBENCH_LEADERBOARDS)", leaderboards_folder()))
    findings += [_unfinished(), _real_data()]
    engines = [name for name in ("docker", "podman") if shutil.which(name)]
    findings.append(
        Examined(
            "container client",
            ", ".join(engines) or "none",
            bool(engines),
            True,
            "" if engines else "Needed only to build and rehearse submissions.",
        )
    )
    return findings


def _package(name: str, extra: str, *, optional: bool = True) -> Examined:
    try:
        return Examined(name, importlib.metadata.version(name), True, optional)
    except importlib.metadata.PackageNotFoundError:
        advice = f"pip install 'medbench[{extra}]'" if extra else "pip install medbench"
        return Examined(name, "not installed", False, optional, advice)


def _torch_devices() -> Examined:
    try:
        import torch
    except ImportError:
        return Examined(
            "compute devices", "torch is not installed", False, True, "pip install 'medbench[models]'"
        )
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Examined(
        "compute devices", ", ".join(names) or f"cpu, {counted(torch.get_num_threads(), 'thread')}", True
    )


def _memory() -> Examined:
    import psutil

    memory = psutil.virtual_memory()
    return Examined("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free", True)


def _folder(what: str, folder: Path) -> Examined:
    present = folder
    while not present.exists():
        present = present.parent
    try:
        with tempfile.TemporaryFile(dir=present):
            pass
    except OSError as error:
        return Examined(
            what, f"{folder}: {error.strerror}", False, False, "Set it to a folder you may write to."
        )
    free = shutil.disk_usage(present).free / 2**30
    return Examined(what, f"{folder}, {free:.0f} GiB free", True, False)


def _unfinished() -> Examined:
    folders = (cache_folder(), runs_folder(), leaderboards_folder())
    leftovers = [path for folder in folders if folder.is_dir() for path in left_behind(folder)]
    if not leftovers:
        return Examined("unfinished files", "none", True)
    advice = "Left by commands that were killed. Delete them when no command writes there, also elsewhere."
    return Examined("unfinished files", f"{len(leftovers)}, the first is {leftovers[0]}", False, True, advice)


def _real_data() -> Examined:
    from medbench.challenges import list_challenges

    setting = os.environ.get("MEDBENCH_DATA")
    if not setting:
        return Examined("real data (MEDBENCH_DATA)", "not set: synthetic samples are used", True)
    try:
        names = [name for name in list_challenges() if data_folder(name)]
    except MedbenchError as error:
        what = "real data (MEDBENCH_DATA)"
        return Examined(what, f"{setting}: there is no such folder", False, True, error.hint)
    return Examined(
        "real data (MEDBENCH_DATA)",
        f"{setting}: {', '.join(names) or 'no challenge'}",
        bool(names),
        True,
        "" if names else "Expected one folder a challenge, named as 'medbench challenges' lists them.",
    )
