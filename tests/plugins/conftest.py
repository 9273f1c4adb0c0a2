"""Plug-ins are loaded in processes of their own, as the command line does."""

import os

import pytest

import warm_process
from medbench.core.package import PACKAGE


@pytest.fixture
def medbench(tmp_path, tmp_path_factory):
    """Call the command line in a folder of its own; keywords are environment variables."""
    output = tmp_path_factory.mktemp("output")

    def call(*arguments, PYTHONPATH=""):
        path = os.pathsep.join([str(PACKAGE.parent), PYTHONPATH])
        return warm_process.call(arguments, output, tmp_path, OMP_NUM_THREADS="1", PYTHONPATH=path)

    return call
