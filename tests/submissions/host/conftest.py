"""A small release of HC18, and a competition bundle of it."""

import pytest

from medbench.core.progress import SilentProgress
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HostRequest


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Its test split holds a few cases, of 54 × 80 pixels."""
    from medbench.challenges.hc18.sample import write_sample

    root = tmp_path_factory.mktemp("hc18")
    write_sample(root, {"training_set": [f"{number:03d}_HC" for number in range(40)]}, (54, 80))
    return root


@pytest.fixture(scope="session")
def competition(release, tmp_path_factory):
    """A bundle that takes participants' programs."""
    request = HostRequest("hc18", "codabench", release, ingestion=True, registry="docker.io/me")
    return host(request, tmp_path_factory.mktemp("b"), SilentProgress())
