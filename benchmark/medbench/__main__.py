"""The program of the ``medbench`` command and of ``python -m medbench``."""

from __future__ import annotations

import sys

from medbench.core.interruption import INTERRUPTED, REPEAT, exit_by_code


def main() -> None:
    """Run the command line; an interruption while it is being imported ends as any other does."""
    try:
        from medbench.cli.main import main as command_line
    except KeyboardInterrupt:
        sys.stderr.write(f"{REPEAT}\n")
        exit_by_code()
        sys.exit(INTERRUPTED)
    command_line()


if __name__ == "__main__":
    main()
