"""A small base image out of this machine's own Python, so that containers are tested without any registry.

``python tests/submissions/base_image.py TARGET.tar`` writes the root file system in 2 s: about 40 MB, without
debugging symbols where ``strip`` is there, as each test that saves or pushes an image packs every byte.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

LEFT_OUT = {
    *("test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "ensurepip", "lib2to3"),
    *("tkinter", "pydoc_data", "msilib", "curses", "dbm"),
}
EXTENSIONS_LEFT_OUT = ("_test", "_xx", "xx", "_tkinter", "_curses", "_gdbm", "_dbm", "readline", "nis")
ALSO = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libstdc++.so.6", "libgcc_s.so.1")
PASSWD = "root:x:0:0:root:/root:/bin/sh\n"
GROUP = "root:x:0:\n"


def main(target: Path) -> None:
    prefix = Path(sys.base_prefix)
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(prefix)}))
    python = Path(sys.executable).resolve()
    extensions = [
        path
        for path in (stdlib / "lib-dynload").glob("*.so")
        if not path.name.startswith(EXTENSIONS_LEFT_OUT)
    ]
    with tarfile.open(target, "w") as archive:
        archive.add(stdlib, arcname=str(stdlib).lstrip("/"), filter=_kept)
        _file(archive, python, str(python))
        shell = Path(shutil.which("dash") or "/bin/sh").resolve()
        _file(archive, shell, "/bin/sh")
        for path in libraries([python, shell, *extensions]):
            _file(archive, path.resolve(), str(path))
        _link(archive, "usr/local/bin/python", str(python))
        _link(archive, "usr/local/bin/python3", str(python))
        _text(archive, "etc/passwd", PASSWD)
        _text(archive, "etc/group", GROUP)
        for name in ("tmp", "root", "home", "proc", "sys", "dev", "opt"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(folder)


def libraries(programs: list[Path]) -> list[Path]:
    """Shared libraries that programs need, and those that wheels expect of any system."""
    found: set[Path] = set()
    listed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(/\S+\.so\S*)", listed):
        if not path.endswith(":"):
            found.add(Path(path))
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    for name in ALSO:
        match = re.search(rf"^\s*{re.escape(name)} .*x86-64.*=> (\S+)$", cache, re.MULTILINE)
        if match:
            found.add(Path(match[1]))
    return sorted(found)


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    name = Path(member.name).name
    is_left_out = (
        name in LEFT_OUT
        or name.endswith((".a", ".pyc"))
        or name.startswith("config-3")
        or (name.endswith(".so") and name.startswith(EXTENSIONS_LEFT_OUT))
    )
    return None if is_left_out else member


def _file(archive: tarfile.TarFile, source: Path, target: str) -> None:
    member = archive.gettarinfo(str(source), arcname=target.lstrip("/"))
    content = _stripped(source)
    member.uid = member.gid = 0
    member.mode, member.size = 0o755, len(content)
    archive.addfile(member, io.BytesIO(content))


def _stripped(source: Path) -> bytes:
    """The program or library, without debugging symbols where they can be taken out."""
    program = shutil.which("strip")
    if program is not None:
        with tempfile.NamedTemporaryFile() as target:
            command = [program, "--strip-debug", "-o", target.name, str(source)]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return Path(target.name).read_bytes()
    return source.read_bytes()


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    archive.addfile(member)


def _text(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), 0o644
    archive.addfile(member, io.BytesIO(text.encode()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
