"""Lines of Dockerfiles that submissions and evaluation images share: packages, user, environment."""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Mapping
from pathlib import Path

from medbench.core.package import PACKAGE
from medbench.submissions.build.locking import LOCK
from medbench.submissions.description import Packages

APP = "/opt/app"
_COMPILE = "python -m compileall -q --invalidation-mode unchecked-hash"
"""Bytecode by hash, not by date: the same whenever an image is built, and good after files are dated anew."""
USER = 10001


def package_lines(base: str, packages: Packages, torch_index: str | None) -> list[str]:
    """The lines of a Dockerfile up to a last stage with the packages and their bytecode.

    Files of packages that no Python can compile, templates for example, have none.

    Args:
        base: image of every stage.
        packages: ``index``: pip installs the context's lock; ``vendored``: its ``site-packages`` are
            copied; ``base``: the base has them.
        torch_index: where pip looks for torch too; ``None`` where it is not needed.
    """
    lines = [f"FROM --platform=linux/amd64 {base} AS base", ""]
    if packages == "index":
        extra = f"--extra-index-url {torch_index} " if torch_index else ""
        lines += [
            "FROM base AS packages",
            f"COPY {LOCK} /build/{LOCK}",
            "RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --no-compile "
            f"{extra}--requirement /build/{LOCK} && (/opt/venv/bin/{_COMPILE} /opt/venv/lib || true)",
            "",
        ]
    lines += ["FROM base"]
    if packages != "base":
        stdlib = "$(python -c 'import sysconfig; print(sysconfig.get_path(\"stdlib\"))')"
        lines += [f"RUN {_COMPILE} -x site-packages {stdlib} || true"]
    if packages == "index":
        lines += ["COPY --from=packages /opt/venv /opt/venv", "ENV PATH=/opt/venv/bin:$PATH"]
    if packages == "vendored":
        lines += ["COPY site-packages /opt/site-packages", "ENV PYTHONPATH=/opt/site-packages"]
        lines += [f"RUN {_COMPILE} /opt/site-packages || true"]
    return lines


def app_lines(app: Path) -> list[str]:
    """Lines of a Dockerfile that copy the program, and its bytecode, which its user may not write.

    The package comes first, in layers that are the same for every submission and that engines keep.

    Args:
        app: folder of the program, ``app`` in the context.
    """
    package, others = f"{APP}/{PACKAGE.name}", sorted(app.iterdir())
    files = [f"app/{path.name}" for path in others if path.is_file()]
    folders = [path.name for path in others if path.is_dir() and path.name != PACKAGE.name]
    return [
        f"COPY app/{PACKAGE.name} {package}",
        f"RUN {_COMPILE} {package}",
        f"COPY {' '.join(files)} {APP}/",
        *(f"COPY app/{name} {APP}/{name}" for name in folders),
        f"RUN {_COMPILE} -x ^{package}/ {APP}",
        f"WORKDIR {APP}",
    ]


def label_lines(labels: Mapping[str, str]) -> list[str]:
    """One instruction with all labels, as each instruction makes a layer; values stay as they are."""
    pairs = [f'{name}="{_quoted(value)}"' for name, value in labels.items()]
    return ["LABEL " + " \\\n      ".join(pairs)] if pairs else []


def _quoted(value: str) -> str:
    """A value between a Dockerfile's double quotes, in one line, without variables."""
    return re.sub(r'(["\\$])', r"\\\1", " ".join(value.splitlines()))


def python_image() -> str:
    """Name of the official Python image of this Python's version."""
    return f"docker.io/library/python:{machine.python_version()}-slim-bookworm"


def user_lines() -> list[str]:
    """Lines of a Dockerfile that create the user, by Python alone, and set the environment."""
    user = f"user:x:{USER}:{USER}::/home/user:/usr/sbin/nologin"
    return [
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/home/user USER=user "
        "MEDBENCH_CACHE=/tmp/medbench MPLCONFIGDIR=/tmp/matplotlib",
        "RUN python -c \"import os; os.makedirs('/home/user', exist_ok=True); "
        f"os.chown('/home/user', {USER}, {USER}); "
        f"open('/etc/passwd', 'a').write('{user}\\n'); "
        f"open('/etc/group', 'a').write('user:x:{USER}:\\n')\"",
    ]
