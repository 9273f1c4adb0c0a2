"""How a command ends that its user interrupts."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code."""
REPEAT = "Interrupted. Repeat the command to go on."
"""Line on standard error."""
