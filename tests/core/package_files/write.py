"""Writes the lists anew: python tests/core/package_files/write.py."""

from pathlib import Path

from medbench.core.files import write_text
from medbench.core.package import package_files


def write():
    """Write one list a use, beside this file."""
    for use in ("result", "container", "evaluation"):
        lines = [path.as_posix() for path in package_files(use)]
        write_text(Path(__file__).parent / f"{use}.txt", "\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
