"""Writes the lists anew: python tests/core/package_files/write.py."""

from pathlib import Path

from medbench.core.package import package_files


def write():
    """Write one list a use, beside this file."""
    for use in ("result", "container", "evaluation"):
        lines = [path.as_posix() for path in package_files(use)]
        (Path(__file__).parent / f"{use}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
