"""Builds of torch: the CUDA versions of every release, and the index of their wheels.

Sources: pytorch.org/get-started/previous-versions for 2.6 and 2.9; the release matrices of pytorch/pytorch,
by pull request: 175253 (2026-02-18) for 2.10 and 2.11, 182849 (2026-05-07) for 2.12, 194367 (2026-08-21) and
197555 (2026-09-18) for 2.13 and 2.14.
"""

from __future__ import annotations

from collections.abc import Mapping

from medbench.core.errors import MedbenchError

CUDA_BUILDS: Mapping[str, tuple[str, ...]] = {
    "2.6": ("cu118", "cu124", "cu126"),
    "2.9": ("cu126", "cu128", "cu130"),
    "2.10": ("cu126", "cu128", "cu130"),
    "2.11": ("cu126", "cu128", "cu130"),
    "2.12": ("cu126", "cu130", "cu132"),
    "2.13": ("cu126", "cu130", "cu132"),
    "2.14": ("cu126", "cu130", "cu132"),
}
PREFERRED = "cu126"
"""Of CUDA 12.6, whose builds run on the oldest drivers and, on grand-challenge, on its T4."""
_INDEX = "https://download.pytorch.org/whl"


def torch_build(accelerator: str, torch: str) -> str:
    """Name of the build of torch for an accelerator, as in its wheels.

    Args:
        accelerator: ``cpu`` or ``cuda``.
        torch: version of torch, with or without a build.

    Raises:
        MedbenchError: ``lock.cuda`` for a release whose CUDA builds are not in the table.

    >>> torch_build("cuda", "2.14.1+cpu"), torch_build("cpu", "2.14.1")
    ('cu126', 'cpu')
    """
    if accelerator == "cpu":
        return "cpu"
    release = ".".join(torch.partition("+")[0].split(".")[:2])
    builds = CUDA_BUILDS.get(release, ())
    if not builds:
        raise MedbenchError(
            "lock.cuda",
            f"torch {torch}: its CUDA builds are not known here; the lock might name one that is not there.",
            f"Install one of {', '.join(f'{name}.*' for name in CUDA_BUILDS)} and test with it, or set "
            'packages = "base" with a base image that has torch.',
        )
    return PREFERRED if PREFERRED in builds else builds[0]


def torch_index(accelerator: str, torch: str) -> str:
    """Address of the index of torch's wheels for an accelerator.

    Raises:
        MedbenchError: as :func:`torch_build`.
    """
    return f"{_INDEX}/{torch_build(accelerator, torch)}"
