"""Finished trainings in a folder of runs: those whose weights fit a request, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Data
from medbench.core.files import read_json
from medbench.core.plugins import plugin_hashes
from medbench.records.identity import manifest_sha256
from medbench.running.networks import INPUT, NetworkPlan
from medbench.running.start import split_start
from medbench.running.train import training_challenge

MOST_NAMED = 3
_NO_INPUT = "no record of how its input was normalised"
"""Of trainings from before that was kept: today's card may say otherwise than theirs did."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The training whose weights a request would take.

    Attributes:
        challenge: that is learnt.
        data: weights of another copy do not count.
        network: the model with its options.
        runs: folder of run directories.
        recipe: only of this recipe; of any if ``None``.
        split: training split; ``None`` takes the challenge's own.
        seed: only of this seed; of any if ``None``.
    """

    challenge: Challenge
    data: Data
    network: NetworkPlan
    runs: Path
    recipe: str | None = None
    split: str | None = None
    seed: int | None = None

    def newest(self) -> Path | None:
        """Weights file of the latest finished training that fits; ``None`` without one."""
        alike = [
            (weights, summary) for weights, summary in self._finished() if not self._differences(summary)
        ]
        if not alike:
            return None
        cases = training_challenge(self.challenge).cases(self.data.root, self._split)
        manifest = manifest_sha256(self.data.root, cases)
        fitting = [
            (summary["finished"], weights)
            for weights, summary in alike
            if summary["manifest_sha256"] == manifest
        ]
        return max(fitting)[1] if fitting else None

    def others(self) -> list[str]:
        """What the latest trainings of the model have that do not fit, and their folders' names."""
        latest = sorted(self._finished(), key=lambda one: str(one[1].get("finished", "")), reverse=True)
        texts = [
            f"{', '.join(self._differences(summary) or [self._other_files])} ({weights.parent.name})"
            for weights, summary in latest
        ]
        return texts[:MOST_NAMED] + ([f"{len(texts) - MOST_NAMED} more"] if len(texts) > MOST_NAMED else [])

    @property
    def _split(self) -> str:
        return self.split or training_challenge(self.challenge).release.training_split

    def _finished(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Weights and summaries of the model's finished trainings, with any options."""
        from medbench.training.result_files import SUMMARY, WEIGHTS

        folder = self.runs / training_challenge(self.challenge).name / self.network.folder_name / "training"
        for path in sorted(folder.glob(f"*/{SUMMARY}")):
            weights = path.with_name(WEIGHTS)
            if weights.exists():
                yield weights, read_json(path)

    def _differences(self, summary: Mapping[str, Any]) -> list[str]:
        """What a training has in place of what is wanted, save the files that it learnt from."""
        options = split_start(summary["options"])[0]
        differences = []
        if options != split_start(self.network.options)[0]:
            settings = (f"--set {name}={value}" for name, value in options.items())
            differences.append(" ".join(settings) or "no --set")
        if summary["split"] != self._split:
            differences.append(f"the training split {summary['split']}")
        if self.recipe is not None and summary["recipe"]["name"] != self.recipe:
            differences.append(f"the recipe {summary['recipe']['name']}")
        if self.seed is not None and summary["seed"] != self.seed:
            differences.append(f"the seed {summary['seed']}")
        if summary.get(INPUT, {}) != self.network.own_input:
            differences.append("another normalisation of its input" if INPUT in summary else _NO_INPUT)
        if summary.get("data", self.data.kind) != self.data.kind:
            differences.append("the synthetic sample" if summary["data"] == "sample" else "real data")
        return differences + _other_plugins(summary.get("plugins", {}), plugin_hashes())

    @property
    def _other_files(self) -> str:
        is_declared = hasattr(self.challenge.release, "declaration")
        return f"other training files{' or another declaration in medbench.toml' if is_declared else ''}"


def _other_plugins(theirs: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """Plug-ins that a training had and this call has not, or has in another version; and the reverse."""
    return [
        f"another version of the plug-in {name}"
        if name in theirs and name in own
        else f"the plug-in {name}"
        if name in theirs
        else f"no plug-in {name}"
        for name in sorted({*theirs, *own})
        if theirs.get(name) != own.get(name)
    ]
