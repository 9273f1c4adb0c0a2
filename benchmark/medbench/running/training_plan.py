"""A training that is decided but not yet done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.case import Data
from medbench.running.networks import NetworkPlan
from medbench.training.hardware import Hardware

if TYPE_CHECKING:
    from torch import nn

    from medbench.running.start import Start


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A training that is decided but not yet done.

    Attributes:
        challenge: what to learn.
        data: where from.
        network: what learns.
        recipe: how; a :class:`Recipe`, or a framework's own.
        folder: where its state and weights lie; named by everything that decides them.
        split: the training split.
        hardware: devices and precision, all of them present.
        facts: what the weights file records.
        start: weights that it starts from; ``None`` for fresh ones.
    """

    challenge: Challenge
    data: Data
    network: NetworkPlan
    recipe: Any
    folder: Path
    split: str
    hardware: Hardware
    facts: dict[str, Any] = field(default_factory=dict)
    start: Start | None = None

    def build(self) -> nn.Module:
        """The network as the training begins with it, initialised from torch's current seed."""
        return self.network.build() if self.start is None else self.start.build(self.network)
