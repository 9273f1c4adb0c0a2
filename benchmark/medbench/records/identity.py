"""Hashes of data and code, which decide a run's key."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import sha256_json
from medbench.core.guard import Failure, guarded
from medbench.core.package import PACKAGE, package_files
from medbench.core.plugins import plugin_hashes
from medbench.io.caches import content_sha256

_READERS = 4
_NOT_SCORING = ("sample.py", "published.py")


def manifest_sha256(root: Path, cases: Iterable[Case]) -> str:
    """Hash over ids, relative file names, facts and contents of a split, missing files included.

    Every file is read: neither its size nor its time tells whether its content is still the same.
    """
    in_order = list(cases)
    paths = {
        path
        for case in in_order
        for role_files in (case.inputs, case.reference)
        for path in role_files.values()
    }
    file_order = sorted(paths)
    with ThreadPoolExecutor(_READERS) as pool:
        digests = dict(zip(file_order, pool.map(_digest, file_order), strict=True))
    entries = []
    for case in in_order:
        files = {
            f"{role}:{name}": [_relative(path, root), digests[path]]
            for role, role_files in (("input", case.inputs), ("reference", case.reference))
            for name, path in role_files.items()
        }
        entries.append([case.id, case.group, files, {key: case.facts[key] for key in sorted(case.facts)}])
    return sha256_json(entries)


def input_digests(cases: Iterable[Case]) -> dict[str, str]:
    """Case -> hash over the contents of its inputs, missing files included; every file is read."""
    in_order = list(cases)
    paths = sorted({path for case in in_order for path in case.inputs.values()})
    with ThreadPoolExecutor(_READERS) as pool:
        digests = dict(zip(paths, pool.map(_digest, paths), strict=True))
    return {
        case.id: sha256_json({name: digests[path] for name, path in case.inputs.items()}) for case in in_order
    }


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _digest(path: Path) -> str:
    digest = guarded(str(path), partial(content_sha256, path))
    if isinstance(digest, Failure):
        return digest.code if os.path.lexists(path) else "missing"
    return digest


def plugin_settings() -> dict[str, dict[str, str]]:
    """The entry ``plugins`` of a run's settings: name of each plug-in in use -> SHA-256; none without any."""
    hashes = plugin_hashes()
    return {"plugins": hashes} if hashes else {}


def scoring_sha256(challenge: Challenge) -> str:
    """Hash of the package's sources that read, score and pool the cases of a challenge.

    Those of other challenges, of models, of training and of intervals are not among them.
    """
    room = type(challenge.release).__module__.removeprefix("medbench.challenges.").partition(".")[0]
    return _sources_sha256(room)


@functools.cache
def _sources_sha256(room: str) -> str:
    digest = hashlib.sha256()
    for relative in package_files("result"):
        if _scores(relative, room):
            digest.update(relative.as_posix().encode() + b"\0" + (PACKAGE / relative).read_bytes() + b"\0")
    return digest.hexdigest()


def _scores(relative: Path, room: str) -> bool:
    first, *rest = relative.parts
    if first == "challenges":
        return (len(rest) == 1 or rest[0] in ("families", room)) and rest[-1] not in _NOT_SCORING
    return first in ("io", "metrics") or relative.as_posix() in ("core/score.py", "core/result_table.py")


@functools.cache
def code_sha256() -> str:
    """Hash of the package's sources that can change a result."""
    digest = hashlib.sha256()
    for relative in package_files("result"):
        digest.update(relative.as_posix().encode() + b"\0" + (PACKAGE / relative).read_bytes() + b"\0")
    return digest.hexdigest()
