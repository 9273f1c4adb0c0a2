"""Running of a container's entry script without a container, with network and other folders denied.

Called by path with ``python -S -E``, so that nothing but the linked packages can be imported:
``launcher.py PACKAGES WRITABLE SCRIPT [ARGUMENT …]``, with WRITABLE folders joined as in ``PATH``. What is
denied is told on standard error as ``medbench-denied {"what": …, "detail": …}``, and raises the error that a
container would see.
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

LINE = "medbench-denied "
LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)  # nosec B104  # noqa: S104 - names, nothing is bound
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def deny(what: str, detail: str, number: int) -> None:
    """Report a denied access on standard error and raise its error."""
    os.write(2, (LINE + json.dumps({"what": what, "detail": detail}) + "\n").encode())
    raise OSError(number, os.strerror(number), detail)


class Watch:
    """An audit hook that denies connections to other hosts and writing outside the given folders."""

    def __init__(self, writable: str) -> None:
        self.allowed = tuple(map(os.path.realpath, writable.split(os.pathsep)))
        self.checks: dict[str, Callable[..., None]] = {
            "socket.connect": self.check_connection,
            "socket.getaddrinfo": self.check_host,
            "open": self.check_open,
            "os.mkdir": self.check_path,
            "os.rename": lambda source, target, *_: self.check_path(target),
        }

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        """Check an event."""
        check = self.checks.get(event)
        if check is not None:
            check(*values)

    def check_path(self, path: Any, *_: Any) -> None:
        """Deny writing outside the folders."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        place = os.path.realpath(os.fsdecode(path))
        if place.startswith("/dev/shm"):  # noqa: S108 - a rule, not a use
            deny("shared memory", place, errno.ENOSPC)
        inside = any(place == folder or place.startswith(folder + os.sep) for folder in self.allowed)
        if not inside and not place.startswith(("/dev/", "/proc/")):
            deny("write", place, errno.EROFS)

    def check_open(self, path: Any, mode: Any, flags: Any) -> None:
        """Deny opening for writing outside the folders."""
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & _WRITING:
            self.check_path(path)

    def check_host(self, host: Any, port: Any, *_: Any) -> None:
        """Deny look-ups of and connections to other hosts."""
        if host not in LOCAL:
            deny("network", f"{host}:{port}", errno.ENETUNREACH)

    def check_connection(self, _: Any, address: Any) -> None:
        """Deny connections of sockets, except those of the file system."""
        if isinstance(address, tuple):
            self.check_host(*address[:2])


def main() -> None:
    """See the module's text."""
    packages, writable, script = sys.argv[1:4]
    sys.path[0] = packages
    sys.argv = sys.argv[3:]
    sys.dont_write_bytecode = True
    sys.addaudithook(Watch(writable))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
