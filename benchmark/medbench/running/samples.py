"""The synthetic samples: drawn whole, checked file by file, and known again without their marker file."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_file, write_json
from medbench.core.folders import cache_folder
from medbench.core.package import PACKAGE
from medbench.core.progress import Progress
from medbench.core.unfinished import unfinished_folder
from medbench.core.writable import refuse_unwritable

MARKER = "medbench-sample.json"
HASHES = PACKAGE / "challenges" / "sample_hashes.json"
_SHORT = 16


def is_sample(folder: Path) -> bool:
    """Whether a folder is a synthetic sample or holds any image of one, whatever became of the marker file.

    Raises:
        MedbenchError: ``sample.damaged`` where the marker lists files that are missing or changed.
    """
    if (folder / MARKER).exists():
        if fault := _fault(folder):
            raise MedbenchError(
                "sample.damaged",
                f"{folder}: is no longer the synthetic sample that was drawn: {fault}.",
                "Draw it again into an empty folder: medbench data sample CHALLENGE --output FOLDER.",
            )
        return True
    sample_images = _known_images()
    sizes = {size for size, _ in sample_images}
    return any(
        size in sizes and (size, sha256_file(path)[:_SHORT]) in sample_images
        for path, size in _sized_files(folder)
    )


def sample_folder(
    challenge: Challenge,
    progress: Progress,
    target: Path | None = None,
    options: Mapping[str, int] | None = None,
) -> Path:
    """The challenge's synthetic sample, complete; made in a temporary folder and renamed.

    A sample in the cache that was thinned or edited is drawn again.

    Args:
        challenge: whose.
        progress: told where it goes.
        target: the folder; one in the user's cache if not given.
        options: of :attr:`Release.sample_options`, for a sample of another size.

    Raises:
        MedbenchError: ``data.target_exists`` when ``target`` is there and not this sample,
            ``output.unwritable``, or ``sample.option``.
    """
    version, settings = challenge.release.sample_version, dict(sorted((options or {}).items()))
    label = "".join(f"-{name}{value}" for name, value in settings.items())
    folder = target or cache_folder() / "samples" / f"{challenge.release.data_set}-{version}{label}"
    mark: dict[str, Any] = {"challenge": challenge.release.data_set, "sample_version": version}
    mark |= {"options": settings} if settings else {}
    mark["note"] = "synthetic, drawn by medbench"
    if _marks(folder) == mark and not _fault(folder, must_list=True):
        return folder
    if target is not None and folder.is_dir() and any(folder.iterdir()):
        raise MedbenchError(
            "data.target_exists", f"{folder}: exists and is not this sample.", "Choose an empty folder."
        )
    refuse_unwritable(folder, folder=True)
    progress.say(f"Drawing the synthetic sample of {challenge.title} into {folder} (once).")
    _draw(challenge, folder, settings, mark)
    return folder


def _draw(challenge: Challenge, folder: Path, settings: Mapping[str, int], mark: Mapping[str, Any]) -> None:
    with unfinished_folder(folder.parent) as temporary:
        challenge.release.draw_sample(temporary, settings)
        write_json(temporary / MARKER, {**mark, "files": file_hashes(temporary)})
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / MARKER).exists():
                raise


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder by its path in it."""
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path, _ in _sized_files(folder)}


def image_hashes(challenge: Challenge, folder: Path) -> list[str]:
    """``size:hash`` of every file of a sample that a model sees, for the list in the package."""
    paths: set[Path] = set()
    for split in challenge.release.splits:
        with contextlib.suppress(MedbenchError):  # some splits are drawn from the complete release alone
            cases = challenge.cases(folder, split)
            paths |= {path for case in cases for path in case.inputs.values() if path.is_file()}
    return sorted(f"{path.stat().st_size}:{sha256_file(path)[:_SHORT]}" for path in paths)


@functools.cache
def _known_images() -> frozenset[tuple[int, str]]:
    entries = [entry for group in read_json(HASHES).values() for entry in group] if HASHES.exists() else []
    return frozenset((int(size), digest) for size, _, digest in (entry.partition(":") for entry in entries))


def _marks(folder: Path) -> dict[str, Any] | None:
    """Contents of the marker file without the list of files; ``None`` where it cannot be read."""
    try:
        mark = read_json(folder / MARKER)
    except (OSError, ValueError):
        return None
    if not isinstance(mark, dict):
        return None
    return {name: value for name, value in mark.items() if name != "files"}


def _fault(folder: Path, must_list: bool = False) -> str:
    """The first file that is not as the marker lists it; empty where all are.

    Markers from before files were listed are taken as they are, unless ``must_list``.
    """
    try:
        mark = read_json(folder / MARKER)
        files = mark.get("files")
        if files is None:
            return f"{MARKER} lists no files" if must_list else ""
        hashes = {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, AttributeError):
        return f"{MARKER} cannot be read"
    present = file_hashes(folder)
    absent = next((name for name in hashes if name not in present), None)
    if absent is not None:
        return f"{absent} is missing"
    edited_name = next((name for name, digest in hashes.items() if present[name] != digest), None)
    return f"{edited_name} was changed" if edited_name is not None else ""


def _sized_files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Regular files in a folder with their sizes, in a fixed order, the marker left out."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and path != folder / MARKER:
                yield path, path.stat().st_size
