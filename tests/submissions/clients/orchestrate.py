"""The BraTS orchestrator on an image of this machine: ``orchestrate.py IMAGE YEAR DATA OUTPUT UID PACKAGES``.

Run by the Python of the clients' environment. Of the orchestrator's own nothing is replaced; the caller's
user is another than root, and the packages that the image lacks are mounted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(image: str, year: str, data: str, output: str, uid: str, packages: str) -> None:
    from brats.core import docker
    from brats.utils.algorithm_config import AlgorithmData, MetaData, RunArgs

    os.getuid = os.getgid = lambda: int(uid)
    start = docker.client.containers.run

    def run(**options):
        volumes = {
            **{str(place): mount for place, mount in options.pop("volumes").items()},
            packages: {"bind": "/packages", "mode": "ro"},
        }
        environment = {"PYTHONPATH": "/packages", "OMP_NUM_THREADS": "1"}
        return start(volumes=volumes, environment=environment, **options)

    docker.docker.models.containers.ContainerCollection.run = lambda self, **options: run(**options)
    meta = MetaData("A. Tester", "none", "Adult Glioma", "none", "1st", int(year))
    algorithm = AlgorithmData(meta, RunArgs(image, "BraTS-GLI-{id:05d}-000", cpu_compatible=True), None)
    docker.run_container(algorithm, Path(data), Path(output), cuda_devices="0", force_cpu=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
