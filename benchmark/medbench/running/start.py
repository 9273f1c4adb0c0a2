"""The start of a training from weights: ``--init FILE|RUN`` and ``--freeze PART``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.folders import at_home, cache_folder
from medbench.core.text import agreeing, counted, named, printable
from medbench.inference.start_weights import StartWeights, freeze, start_weights
from medbench.inference.weights import Checkpoint, load_checkpoint
from medbench.records.reading import Run, find_run
from medbench.running.learnt_classes import differing_classes
from medbench.running.networks import NetworkPlan

if TYPE_CHECKING:
    from torch import nn

START_OPTIONS = ("encoder_weights", "pretrained_weights")
"""Options of libraries' networks that name a file to start from; they are facts of a training."""
IMAGE_ENCODER = "image_encoder."
"""Beginning of the names of what other tasks take of a pre-training on images and reports."""


@dataclass(frozen=True, slots=True)
class Start:
    """Weights that a training starts from.

    Attributes:
        path: the file.
        checkpoint: content of the file.
        frozen: parts of the network that keep these weights.
        other_classes: whether the file's outputs mean other classes than the challenge's.
    """

    path: Path
    checkpoint: Checkpoint
    frozen: tuple[str, ...] = ()
    other_classes: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the start that decide the training's result, and the file's name."""
        return {"file": self.path.name, "sha256": self.checkpoint.sha256, "frozen": list(self.frozen)}

    def matching(self, network: NetworkPlan, fresh: nn.Module) -> StartWeights:
        """The parameters of the file that fit a network.

        Raises:
            MedbenchError: ``init.nothing_matches``.
        """
        heads = _outputs_of(network, fresh) if self.other_classes else ()
        return start_weights(
            fresh.state_dict(), self.checkpoint.state, str(self.path), entry=network.entry, heads=heads
        )

    def build(self, network: NetworkPlan) -> nn.Module:
        """A network with fresh weights where the file has none, and with its frozen parts.

        Raises:
            MedbenchError: as :meth:`matching` and :func:`medbench.inference.start_weights.freeze`.
        """
        module = network.build()
        self.matching(network, module).load_into(module)
        freeze(module, self.frozen)
        return module


def read_start(
    name: str | Path, challenge: Challenge, network: NetworkPlan, runs: Path, parts: Sequence[str] = ()
) -> Start:
    """The start that ``--init`` names: a file, the folder of a training or of a run, or a run's key.

    Args:
        name: the file, folder or key.
        challenge: what is learnt.
        network: what learns.
        runs: folder of run directories.
        parts: parts of the network that keep the weights.

    Raises:
        MedbenchError: ``init.missing`` for what is neither; ``weights.unsafe`` and others of
            :func:`medbench.inference.weights.load_checkpoint`; ``init.no_weights`` for a run whose weights
            are not in ``runs``.
    """
    path = _weights_of(at_home(name), runs, is_framework=network.framework is not None)
    if network.framework is not None:
        checkpoint = network.framework.read_start(path, cache_folder() / "imported")
    else:
        checkpoint = _image_encoder_of(load_checkpoint(path))
    return Start(path, checkpoint, tuple(parts), _means_other_classes(checkpoint.facts, challenge))


def _image_encoder_of(checkpoint: Checkpoint) -> Checkpoint:
    """Of a pre-training on images and reports the image encoder's parameters alone; else all."""
    if "pretraining" not in checkpoint.facts:
        return checkpoint
    state = {name: value for name, value in checkpoint.state.items() if name.startswith(IMAGE_ENCODER)}
    return dataclasses.replace(checkpoint, state=state)


def split_start(options: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Options of a network without the file that it starts from, and that file.

    >>> split_start({"encoder": "resnet18", "encoder_weights": "encoder.pth"})
    ({'encoder': 'resnet18'}, 'encoder.pth')
    """
    own = {name: value for name, value in options.items() if name not in START_OPTIONS}
    files = [str(options[name]) for name in START_OPTIONS if options.get(name) is not None]
    return own, files[0] if files else None


def _weights_of(path: Path, runs: Path, *, is_framework: bool) -> Path:
    """The file of weights of a path or of a run's key."""
    from medbench.training.result_files import WEIGHTS

    if path.is_file() or (is_framework and path.is_dir() and not (path / WEIGHTS).is_file()):
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    try:
        run = find_run(path, runs)
    except MedbenchError as error:
        raise MedbenchError(
            "init.missing",
            f"{path}: is neither a file of weights nor the folder or the key of a training or a run.",
            "Check --init.",
        ) from error
    return weights_of_run(run, runs)


def weights_of_run(run: Run, runs: Path) -> Path:
    """The file of a run's weights, which a training left in ``runs``.

    Raises:
        MedbenchError: ``init.no_weights``.
    """
    from medbench.training.result_files import WEIGHTS

    sha256 = run.record.model.weights_sha256
    folders = runs.glob(f"{run.record.challenge.name}/*/training/*/{WEIGHTS}")
    for weights in sorted(folders) if sha256 else ():
        if sha256_file(weights) == sha256:
            return weights
    raise MedbenchError(
        "init.no_weights",
        f"{run.folder}: the weights of this run are not in {runs}.",
        "Give the file of the weights itself.",
    )


def _means_other_classes(facts: Mapping[str, Any], challenge: Challenge) -> bool:
    """Whether a training says that it learnt other classes; files without facts say nothing."""
    classes = facts.get("classes") or {}
    return bool(classes) and differing_classes(classes, challenge) is not None


def _outputs_of(network: NetworkPlan, fresh: nn.Module) -> set[str]:
    """Parameters whose shape depends on the number of classes."""
    more = {task: count + 1 for task, count in network.outputs.items()}
    wider = dataclasses.replace(network, outputs=more).build().state_dict()
    return {name for name, value in fresh.state_dict().items() if wider[name].shape != value.shape}


def start_line(facts: Mapping[str, Any]) -> str:
    """One line on a start: the file, and how many of its and the network's parameters fit."""
    start, fit = facts["start"], facts["start_parameters"]
    words = (
        f"Starts from {printable(start['file'])} ({start['sha256'][:12]}): "
        f"{counted(fit['matched'], 'parameter')} {agreeing(fit['matched'], 'matches', 'match')}"
    )
    missing = fit["missing"]
    words += _listed(missing, agreeing(len(missing), "keeps a fresh value", "keep fresh values"))
    reasons = [f"{name}: {reason}" for name, reason in fit["refused"].items()]
    words += _listed(reasons, f"of the file {agreeing(len(reasons), 'is', 'are')} refused")
    parts = start["frozen"]
    return words + (f"; frozen: {', '.join(parts)}." if parts else ".")


def _listed(names: Sequence[str], what: str) -> str:
    return f"; {len(names)} {what} ({named([printable(name) for name in names])})" if names else ""
