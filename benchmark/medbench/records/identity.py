"""What decides a run: hashes of the data and of the code."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from medbench.core.case import Case
from medbench.core.files import read_json, sha256_file, sha256_json, write_json
from medbench.core.folders import cache_folder
from medbench.core.package import PACKAGE, package_files
from medbench.core.plugins import plugin_hashes


def manifest_sha256(root: Path, cases: Iterable[Case]) -> str:
    """Hash over ids, relative file names, facts and contents of a split, missing files included."""
    entries = []
    known = _Digests()
    for case in cases:
        files = {
            f"{role}:{name}": [_relative(path, root), known.digest(path)]
            for role, paths in (("input", case.inputs), ("reference", case.reference))
            for name, path in paths.items()
        }
        entries.append([case.id, case.group, files, {key: case.facts[key] for key in sorted(case.facts)}])
    known.store()
    return sha256_json(entries)


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


class _Digests:
    """Content hashes remembered by path, size and time of change, so that large sets are read once."""

    def __init__(self) -> None:
        self.path = cache_folder() / "digests.json"
        try:
            self.entries: dict[str, list[object]] = read_json(self.path)
        except (OSError, ValueError):
            self.entries = {}
        self.changed = False

    def digest(self, path: Path) -> str:
        try:
            state = path.stat()
        except OSError:
            return "missing"
        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
        entry = self.entries.get(name)
        if entry is None or entry[:2] != [state.st_size, state.st_mtime_ns]:
            entry = [state.st_size, state.st_mtime_ns, sha256_file(path)]
            self.entries[name] = entry
            self.changed = True
        return str(entry[2])

    def store(self) -> None:
        if self.changed:
            write_json(self.path, self.entries)


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
