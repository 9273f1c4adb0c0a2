"""How a command ends that its user interrupts."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code."""
REPEAT = "Interrupted. Repeat the command to go on."
"""Line on standard error."""


def exit_by_code() -> None:
    """Let this process end by its exit code although Ctrl-C came, where Python would end it by the signal.

    ``python -m`` does so once an interruption has left text that a library ran, as torch does while it is
    loaded, be it caught or not; running any other text forgets it.
    """
    import contextlib
    import ctypes

    with contextlib.suppress(AttributeError):  # of another Python than CPython
        ctypes.pythonapi.PyRun_SimpleString(b"")
