"""Files beside an archive that is uploaded: its sha256, and a report that holds its own hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medbench import __version__
from medbench.core.files import sha256_file, sha256_json, write_json, write_text

REPORT_SUFFIX = ".report.json"


def write_report(path: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """Write ``<archive>.sha256`` and ``<archive>.report.json``; lines that tell name, size and sha256.

    Args:
        path: of the archive.
        facts: what the report says beyond the archive's name, size and hash.
    """
    digest = sha256_file(path)
    write_text(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n")
    report: dict[str, Any] = {
        "archive": path.name,
        "archive_sha256": digest,
        "archive_bytes": path.stat().st_size,
        "saved_by": f"medbench {__version__}",
        **facts,
    }
    report["sha256_of_this_report"] = sha256_json(report)
    write_json(path.with_name(path.name + REPORT_SUFFIX), report)
    yield f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    yield f"sha256 {digest}"
