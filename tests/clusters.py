"""A dask cluster within this process."""

import contextlib

import pytest

from medbench.running.executors import dask_cluster


@contextlib.contextmanager
def two_threads():
    """The executor of a cluster of two workers that are threads of this process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            protocol="tcp://",
            host="127.0.0.1",
        ) as cluster,
        dask_cluster(cluster.scheduler_address) as executor,
    ):
        yield executor
