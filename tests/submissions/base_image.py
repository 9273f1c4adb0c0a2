"""A small base image out of this machine's own Python, so that containers are tested without any registry.

``python tests/submissions/base_image.py TARGET.tar`` writes the root file system; about 100 MB in 2 s.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

LEFT_OUT = {"test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "ensurepip", "lib2to3"}
ALSO = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libstdc++.so.6", "libgcc_s.so.1")
PASSWD = "root:x:0:0:root:/root:/bin/sh\n"
GROUP = "root:x:0:\n"


def main(target: Path) -> None:
    prefix = Path(sys.base_prefix)
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(prefix)}))
    python = Path(sys.executable).resolve()
    extensions = list((stdlib / "lib-dynload").glob("*.so"))
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
    return (
        None if name in LEFT_OUT or name.endswith((".a", ".pyc")) or name.startswith("config-3") else member
    )


def _file(archive: tarfile.TarFile, source: Path, target: str) -> None:
    member = archive.gettarinfo(str(source), arcname=target.lstrip("/"))
    member.uid = member.gid = 0
    member.mode = 0o755
    with open(source, "rb") as stream:
        archive.addfile(member, stream)


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
