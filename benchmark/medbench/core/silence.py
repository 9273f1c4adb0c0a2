"""Dropping what libraries write below Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def dropped(stream: int) -> Iterator[None]:
    """Drop what a block writes to standard output (1) or standard error (2), be it from C++."""
    before = os.dup(stream)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream)
        yield
    finally:
        os.dup2(before, stream)
        os.close(before)
