"""Machine and software of a run, for its record; no names of people or hosts."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import sys

from medbench.challenges.base import Challenge
from medbench.core.machine import processor_name, usable_cores
from medbench.core.package import PACKAGE
from medbench.records.identity import code_sha256, scoring_sha256
from medbench.records.schema import Environment

_RECORDED = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "kornia-rs",
    "SimpleITK",
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "lightning",
    "monai",
    "nnunetv2",
)


def _git(*arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments],  # nosec B607  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


@functools.cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of medbench's own checkout and whether its package differs from it; ``None`` outside one.

    Both are of the time of the first call, as is the hash of the code.
    """
    if _git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py")) is None:
        return None, None
    return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--", str(PACKAGE)))


@functools.cache
def _packages() -> dict[str, str]:
    """Versions of the packages that are installed of those whose version may matter."""
    packages = {}
    for name in _RECORDED:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return packages


def environment(device: str, challenge: Challenge) -> Environment:
    """Machine and software of this process, and the sources that score a challenge."""
    import psutil

    commit, dirty = git_state()
    accelerator = None
    if device.startswith("cuda"):
        import torch

        accelerator = torch.cuda.get_device_name(device)
    return Environment(
        medbench=importlib.metadata.version("medbench"),
        git_commit=commit,
        git_dirty=dirty,
        code_sha256=code_sha256(),
        scoring_sha256=scoring_sha256(challenge),
        python=platform.python_version(),
        packages=dict(_packages()),
        platform=f"{sys.platform} {platform.machine()}",
        processor=processor_name(),
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        accelerator=accelerator,
    )
