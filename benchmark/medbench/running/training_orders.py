"""A training by a worker of a cluster, which goes on where another worker of it died."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.plugins import load_plugin, loaded_plugins
from medbench.core.progress import Progress
from medbench.core.project import project_path, use_project
from medbench.records.identity import code_sha256
from medbench.running.call_engine import Lost, check_code, spread
from medbench.running.executors import dask_cluster
from medbench.running.train import train


@dataclass(frozen=True, slots=True)
class ClusterTraining:
    """A training to do: names, settings and paths.

    Attributes:
        model: name of the model.
        challenge: name of the challenge.
        keywords: of :func:`medbench.running.train.train`, paths absolute.
        plugins: Python files to load first.
        code: hash of the package's sources that the worker must have.
        project: the project file, which may declare the data set and the model.
    """

    model: str
    challenge: str
    keywords: Mapping[str, Any]
    plugins: tuple[Path, ...] = field(
        default_factory=lambda: tuple(path.resolve() for path in loaded_plugins())
    )
    code: str = field(default_factory=code_sha256)
    project: Path | None = field(default_factory=project_path)


def train_order(order: ClusterTraining) -> Path:
    """The weights of a training, in any process.

    Raises:
        MedbenchError: ``cluster.other_version``, or as :func:`medbench.running.train.train`.
    """
    check_code(order.code)
    use_project(order.project)
    for path in order.plugins:
        load_plugin(path)
    return train(order.model, order.challenge, **order.keywords)


def train_elsewhere(order: ClusterTraining, scheduler: str, progress: Progress) -> Path:
    """Train by a worker of a dask cluster; the weights, on the disk that all machines see.

    A training whose worker dies goes on with another one, from its last saved epoch, and is given up after
    three deaths.

    Args:
        order: the training.
        scheduler: address of the scheduler.
        progress: told where it trains.

    Raises:
        MedbenchError: as :func:`dask_cluster`; ``training.lost`` with what the training raised.
    """
    with dask_cluster(scheduler) as executor:
        progress.say(f"A worker of {scheduler} trains; repeat the command to go on after a stop.")
        (piece,) = spread(train_order, [order], executor)
    if isinstance(piece.result, Lost):
        raise MedbenchError(
            "training.lost",
            f"{order.model} on {order.challenge}: {piece.result.reason}",
            "Repeat the command.",
        )
    return piece.result
