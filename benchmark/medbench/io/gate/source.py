"""Opening of files: regular files below their root alone, without blocking.

Laboratories keep releases as trees of symbolic links, so links of a release are followed to regular files. A
prediction comes from somebody else: a link out of its folder could read other files, and is refused.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from io import BufferedReader
from pathlib import Path

from medbench.io.gate.expected import Expected, Role, check_budget
from medbench.io.gate.refusal import COPY_AGAIN, Refusal, Reject, refusal_of

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def relative_to(path: Path, root: Path) -> str:
    """The path relative to its root, with links as they are.

    Raises:
        Reject: ``file.outside`` when it leaves the root.
    """
    try:
        relative = path.relative_to(root)
    except ValueError:
        raise Reject("file.outside", f"lies outside {root}", "Give files of that folder.") from None
    if ".." in relative.parts:
        raise Reject("file.outside", f"lies outside {root}", "Give files of that folder.")
    return str(relative)


def without_links(path: Path, root: Path) -> Path:
    """The place below ``root`` that a path leads to, so that its own folder is a root that it does not leave.

    A last component that is a link out of the root, or to nothing, stays as it is and is refused when opened.

    Raises:
        MedbenchError: ``file.link_outside`` where a folder on the way is a link out of the root.
    """
    if path.parent == root and not path.is_symlink():
        return path
    home, folder = Path(os.path.realpath(root)), Path(os.path.realpath(path.parent))
    if not folder.is_relative_to(home):
        facts = "lies behind a symbolic link out of its folder"
        raise Refusal("file.link_outside", str(path), facts, "Hand in the file itself.").error()
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if target.is_relative_to(home) and target.exists():
            return root / target.relative_to(home)
    return root / folder.relative_to(home) / path.name


def opened(path: Path, root: Path, role: Role) -> BufferedReader:
    """The file as an open stream, which the caller closes.

    Raises:
        Reject: ``file.unreadable``, ``file.not_regular``, ``file.link_dangling``, ``file.link_outside``,
            ``file.outside``.
    """
    try:
        return open(os.fspath(path), "rb", opener=lambda *_: _handle(path, root, role))
    except OSError as error:
        raise _reject_of(error) from error


def copy_file(path: Path, root: Path, target: Path, expected: Expected) -> None:
    """Copy a prediction, which may not leave its folder by a link, nor be larger than its values may be.

    Raises:
        MedbenchError: as :func:`opened` refuses it, and ``file.too_large``.
    """
    try:
        with opened(path, root, expected.role) as stream:
            check_budget(os.fstat(stream.fileno()).st_size, expected.budget_bytes)
            with open(target, "wb") as copy:
                shutil.copyfileobj(stream, copy)
    except Reject as reject:
        raise refusal_of(reject, path.name, "not a readable file").error(path.parent) from reject


def read_whole(path: Path, root: Path, role: Role, budget_bytes: int) -> bytearray:
    """Content of the file, read once.

    Raises:
        Reject: as :func:`opened`, and ``file.too_large``.
    """
    handle = _handle(path, root, role)
    try:
        size = os.fstat(handle).st_size
        check_budget(size, budget_bytes)
        content = bytearray(size)
        view, at = memoryview(content), 0
        with os.fdopen(handle, "rb", buffering=0, closefd=False) as stream:
            while at < size and (count := stream.readinto(view[at:])):
                at += count
            is_longer = bool(stream.read(1))
    except OSError as error:
        raise _reject_of(error) from error
    finally:
        os.close(handle)
    if at != size or is_longer:
        raise Reject("file.unreadable", "changed while it was read", "Wait until it is written.")
    return content


def _handle(path: Path, root: Path, role: Role) -> int:
    relative = relative_to(path, root)
    try:
        handle = _walked(root, relative) if role == "prediction" else os.open(path, _FLAGS | _NOT_A_LINK)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
            raise _reject_of(error) from error
        handle = _through_links(path, root, role)
    try:
        _check_regular(os.fstat(handle).st_mode)
    except Reject:
        os.close(handle)
        raise
    return handle


def _walked(root: Path, relative: str) -> int:
    """Open a file from its root, component by component, and refuse links on the way."""
    if not _BY_DESCRIPTOR:
        if Path(os.path.realpath(root / relative)) != Path(os.path.realpath(root)) / relative:
            raise OSError(errno.ELOOP, "is a link")
        return os.open(root / relative, _FLAGS)
    folders = list(Path(relative).parts)
    name = folders.pop()
    at = os.open(root, os.O_RDONLY | _FOLDER)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | _FOLDER | _NOT_A_LINK, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, _FLAGS | _NOT_A_LINK, dir_fd=at)
    finally:
        os.close(at)


def _through_links(path: Path, root: Path, role: Role) -> int:
    """Open the target of a link, where the role allows it."""
    try:
        target = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            raise Reject(
                "file.link_dangling", "is a symbolic link to a file that does not exist", COPY_AGAIN
            ) from error
        raise _reject_of(error) from error
    home = Path(os.path.realpath(root))
    try:
        if role == "release":
            return os.open(target, _FLAGS | _NOT_A_LINK)
        if target.is_relative_to(home):
            return _walked(home, str(target.relative_to(home)))
    except OSError as error:
        raise _reject_of(error) from error
    raise Reject(
        "file.link_outside",
        "is a symbolic link out of its folder",
        "Hand in the file itself.",
    )


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for matches, name in _KINDS if matches(mode)), "no regular file")
        raise Reject("file.not_regular", f"is {kind}, not a file", "Give the file itself.")


def _reject_of(error: OSError) -> Reject:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Reject("file.unreadable", "cannot be read: there is no such file", "Check the path.")
    if error.errno == errno.EISDIR:
        return Reject("file.not_regular", "is a folder, not a file", "Give the file itself.")
    if error.errno in (errno.ENXIO, errno.EOPNOTSUPP, errno.ENODEV):
        return Reject("file.not_regular", "is a socket or a device, not a file", "Give the file itself.")
    if error.errno == errno.ELOOP:
        return Reject("file.link_dangling", "is a symbolic link that leads back to itself", COPY_AGAIN)
    reason = error.strerror or type(error).__name__
    return Reject("file.unreadable", f"cannot be read ({reason})", "Check the path and its permissions.")
