"""Hashes of data and code, which decide a run's key."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medbench.core.case import Case
from medbench.core.files import sha256_file, sha256_json
from medbench.core.package import PACKAGE, package_files
from medbench.core.plugins import plugin_hashes

_READERS = 4


def manifest_sha256(root: Path, cases: Iterable[Case]) -> str:
    """Hash over ids, relative file names, facts and contents of a split, missing files included.

    Every file is read: neither its size nor its time tells whether its content is still the same.
    """
    listed = list(cases)
    paths = {path for case in listed for named in (case.inputs, case.reference) for path in named.values()}
    ordered = sorted(paths)
    with ThreadPoolExecutor(_READERS) as pool:
        digests = dict(zip(ordered, pool.map(_digest, ordered), strict=True))
    entries = []
    for case in listed:
        files = {
            f"{role}:{name}": [_relative(path, root), digests[path]]
            for role, named in (("input", case.inputs), ("reference", case.reference))
            for name, path in named.items()
        }
        entries.append([case.id, case.group, files, {key: case.facts[key] for key in sorted(case.facts)}])
    return sha256_json(entries)


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return "missing"


def plugin_settings() -> dict[str, dict[str, str]]:
    """The entry ``plugins`` of a run's settings: name of each plug-in in use -> SHA-256; none without any."""
    hashes = plugin_hashes()
    return {"plugins": hashes} if hashes else {}


@functools.cache
def code_sha256() -> str:
    """Hash of the package's sources that can change a result."""
    digest = hashlib.sha256()
    for relative in package_files("result"):
        digest.update(relative.as_posix().encode() + b"\0" + (PACKAGE / relative).read_bytes() + b"\0")
    return digest.hexdigest()
