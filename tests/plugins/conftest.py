"""Plug-ins are loaded in processes of their own, as the command line does."""

import os
import subprocess
import sys

import pytest

from medbench.core.package import PACKAGE


@pytest.fixture
def medbench(tmp_path):
    """Call the command line in a folder of its own; keywords are environment variables."""

    def call(*arguments, PYTHONPATH=""):
        command = [sys.executable, "-c", "from medbench.cli.main import main; main()", *map(str, arguments)]
        path = os.pathsep.join([str(PACKAGE.parent), PYTHONPATH])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return call
