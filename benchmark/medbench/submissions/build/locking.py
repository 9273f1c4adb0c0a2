"""Locks of submissions: exact versions of their packages, as installed here."""

from __future__ import annotations

import ast
import csv
import functools
import importlib.metadata as metadata
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.submissions.build.wheels import torch_build

if TYPE_CHECKING:
    from medbench.models.entry import ModelEntry

OWN = "medbench"
LOCK = "requirements.lock"
READERS = ("h5py", "tifffile")
NETWORKS = ("torch", "torchvision")
LIBRARIES = {
    "smp/": ("segmentation-models-pytorch", "timm"),
    "nnunet": ("nnunetv2",),
}
CUDA_ONLY = ("nvidia-", "cuda-", "triton")
VOLUMES = ("monai",)
SLIDES = ("tiffslide", "zarr", "imagecodecs")
COMMAND_LINE_ONLY = frozenset({"typer", "rich", "tabulate", "jinja2"})


def needed_packages(model: str, entry: ModelEntry, *, slides: bool) -> list[str]:
    """Packages that prediction needs: those of the core without the command line, torch, and the model's."""
    roots = [*evaluation_packages(slides=slides), *NETWORKS]
    for start, libraries in LIBRARIES.items():
        roots += libraries if model.startswith(start) else ()
    roots += VOLUMES if entry.spatial_dims == 3 else ()
    roots += ("onnxruntime",) if entry.local == "file" and model.lower().endswith(".onnx") else ()
    return sorted(dict.fromkeys(roots))


def imported_packages(sources: Iterable[Path]) -> list[str]:
    """Installed distributions that Python files import, in functions too, in alphabetical order."""
    modules: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.partition(".")[0])
    own = {name for module in modules - sys.stdlib_module_names for name in _owners(module)}
    return sorted(own - {OWN})


@functools.cache
def _owners(module: str) -> tuple[str, ...]:
    """Distributions of a module: the one of its name, which most have, else those whose files it is among."""
    try:
        return (metadata.distribution(module).name,)
    except metadata.PackageNotFoundError:
        return tuple(_distributions_by_module().get(module, ()))


@functools.cache
def _distributions_by_module() -> Mapping[str, Sequence[str]]:
    return metadata.packages_distributions()


def evaluation_packages(*, slides: bool) -> list[str]:
    """Packages that scoring needs: those of the core without the command line, and readers of files."""
    roots = [name for name in _requirements(OWN) if name.lower() not in COMMAND_LINE_ONLY]
    return sorted(dict.fromkeys([*roots, *READERS, *(SLIDES if slides else ())]))


def lock(roots: Iterable[str]) -> dict[str, str]:
    """Name -> installed version of the packages and of their dependencies.

    Raises:
        MedbenchError: ``lock.missing`` when one is not installed here, so that nobody has tested it.
    """
    from packaging.utils import canonicalize_name

    versions: dict[str, str] = {}
    names = list(roots)
    while names:
        name = names.pop()
        key = canonicalize_name(name)
        if key in versions:
            continue
        try:
            versions[key] = _version(name)
        except metadata.PackageNotFoundError as error:
            raise MedbenchError(
                "lock.missing",
                f"{name} is not installed here, so its version cannot be pinned.",
                f"Install it: pip install {name}.",
            ) from error
        names += _requirements(name)
    return dict(sorted(versions.items()))


@functools.cache
def _version(name: str) -> str:
    return metadata.version(name)


def requirement_lines(versions: Mapping[str, str], accelerator: str) -> list[str]:
    """Lines of a requirements file; torch's builds are named by the accelerator.

    Libraries that only CUDA builds of torch need are left out: a CPU image has no use for them, and torch's
    CUDA wheels pin their own.

    >>> requirement_lines({"numpy": "2.1.0", "torch": "2.14.0+cpu", "nvidia-nccl-cu12": "2.27"}, "cuda")
    ['numpy==2.1.0', 'torch==2.14.0+cu126']

    Raises:
        MedbenchError: ``lock.cuda`` where no CUDA build of this torch is known.
    """
    build = torch_build(accelerator, versions["torch"]) if "torch" in versions else ""
    return [
        f"{name}=={version.partition('+')[0]}+{build}" if name in NETWORKS else f"{name}=={version}"
        for name, version in versions.items()
        if not name.startswith(CUDA_ONLY)
    ]


def gather(versions: Iterable[str], folder: Path, *, link: bool = False) -> None:
    """Copy (or link) the installed files of packages into a folder for ``PYTHONPATH``."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in _installed(versions):
        target = folder / source.name
        if target.exists():
            continue
        if link:
            target.symlink_to(source)
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tests", "test"))
        else:
            shutil.copyfile(source, target)


def _installed(versions: Iterable[str]) -> Iterator[Path]:
    """Top-level files and folders of packages."""
    for name in versions:
        distribution = metadata.distribution(name)
        rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
        tops = {row[0].partition("/")[0] for row in rows if row}
        for top in sorted(tops - {"..", "__pycache__"}):
            path = Path(str(distribution.locate_file(top)))
            if path.exists() and top != "bin":
                yield path


@functools.cache
def _requirements(name: str) -> tuple[str, ...]:
    """Dependencies of a package on this platform, without extras."""
    from packaging.requirements import Requirement

    requirements = [Requirement(text) for text in metadata.requires(name) or ()]
    unconditional = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    return tuple(name for one in unconditional for name in (one.name, *_extra(one.name, one.extras)))


def _extra(name: str, extras: Iterable[str]) -> list[str]:
    from packaging.requirements import Requirement

    requirements = [Requirement(text) for text in metadata.requires(name) or ()] if extras else []
    return [
        one.name
        for one in requirements
        for extra in extras
        if one.marker is not None
        and one.marker.evaluate({"extra": extra})
        and not one.marker.evaluate({"extra": ""})
    ]
