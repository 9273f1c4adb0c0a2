"""Expected cost of a study, counted before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.core.text import counted
from medbench.running.data import resolve_data
from medbench.running.networks import NetworkPlan, recipe_for
from medbench.running.train import training_challenge
from medbench.studies.cells import Cell, Entry
from medbench.studies.declaration import Budget

BACKWARD = 3
"""Operations of a training step over those of its forward pass: the backward pass counts twice."""
HELD_OUT = 0.2


class CostKey(NamedTuple):
    """What has a cost of its own.

    Attributes:
        challenge: name of the data set.
        training: split to learn from, where the study names it.
        entry: of the board.
    """

    challenge: str
    training: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class EntryCost:
    """Expected cost of one model by one recipe on one data set.

    Attributes:
        challenge: name of the data set.
        entry: of the board.
        training: split to learn from, where the study names it.
        cells: number of cells; each has as many trainings as it has candidates.
        trainings: number of trainings in all.
        parameters: of the network; ``None`` for a framework's, which is not planned yet.
        macs: multiply-accumulates of a forward pass of one sample at the size of training.
        samples: images, patches or videos that one training sees, about; ``None`` where minutes decide.
        minutes: longest time of one training; ``None`` where epochs or steps decide.
        cases: cases to predict, over all cells.
        note: why something is not counted.
    """

    challenge: str
    entry: Entry
    cells: int
    trainings: int
    parameters: int | None
    macs: int | None
    samples: int | None
    minutes: float | None
    cases: int
    note: str = ""
    training: str = ""

    @property
    def training_flops(self) -> float | None:
        """FLOPs of all trainings, about; ``None`` where they are not known beforehand."""
        if self.macs is None or self.samples is None:
            return None if self.trainings else 0.0
        return 2.0 * self.macs * BACKWARD * self.samples * self.trainings


def study_costs(cells: Sequence[Cell], budget: Budget, progress: Progress) -> list[EntryCost]:
    """Costs of all cells, by data set and entry; operations are counted on shapes alone.

    Args:
        cells: of the study.
        budget: of every training.
        progress: told of every network.

    Raises:
        MedbenchError: for data that cannot be read.
    """
    groups: dict[CostKey, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(CostKey(cell.challenge, cell.training_split, cell.entry), []).append(cell)
    progress.start("counting operations", len(groups))
    costs = []
    for group in groups.values():
        costs.append(_cost(group, budget, progress))
        progress.advance(1, group[0].model)
    progress.finish()
    return costs


def _cost(group: Sequence[Cell], budget: Budget, progress: Progress) -> EntryCost:
    first = group[0]
    challenge = load_challenge(first.challenge)
    data = resolve_data(challenge, first.folder, progress)
    sizes = {fold: len(challenge.cases(data.root, fold)) for fold in {cell.fold for cell in group}}
    network = first.request().plan().network
    recipe: Any = recipe_for(challenge, network, first.recipe, first.candidates[0]) if first.recipe else None
    macs, parameters, note = _operations(network, recipe)
    samples = None
    if recipe is not None:
        split = first.training_split or challenge.release.training_split_of(first.fold)
        samples = samples_seen(recipe, len(training_challenge(challenge).cases(data.root, split)))
    by_time = budget.unit == "minutes" and recipe is not None
    return EntryCost(
        first.challenge,
        first.entry,
        len(group),
        sum(len(cell.candidates) for cell in group) if recipe is not None else 0,
        parameters,
        macs,
        None if by_time else samples,
        budget.amount if by_time else None,
        sum(sizes[cell.fold] for cell in group),
        note,
        first.training_split,
    )


def _operations(network: NetworkPlan, recipe: Any) -> tuple[int | None, int | None, str]:
    """Multiply-accumulates and parameters of the network that is trained, or why they are not counted."""
    from medbench.core.registry import load_object
    from medbench.profiling.cost import count_cost

    if network.framework is not None:
        return None, None, "planned by its framework in the training"
    try:
        module = network.build().eval()
        maker = network.entry.further_inputs
        further = load_object(maker) if maker else None
        cost = count_cost(module, (1, *_shape(network, recipe)), further=further, activations=False)
    except MedbenchError as error:
        return None, None, error.message
    except Exception as error:  # noqa: BLE001 - a cost that is not known stops no study
        return None, None, f"not counted ({type(error).__name__})"
    note = f"{', '.join(cost.uncounted)} not counted" if cost.uncounted else ""
    return cost.macs, sum(parameter.numel() for parameter in module.parameters()), note


def _shape(network: NetworkPlan, recipe: Any) -> tuple[int, ...]:
    """Shape of one sample: at the recipe's size, or the published input."""
    if network.form == "sequence":
        return tuple(network.entry.input_shape)
    size = getattr(recipe, "image_size", None) or network.entry.image_size
    return (network.in_channels, *[size] * (3 if network.sees_volumes else 2))


def samples_seen(recipe: Any, cases: int) -> int:
    """Samples that one training sees, about: a fifth of the cases is held out where the recipe does so.

    A last incomplete batch of an epoch is left out, as in the training. A fit that makes no steps reads at
    most the recipe's examples, once.
    """
    batch = getattr(recipe, "batch_size", 1)
    if getattr(recipe, "max_steps", 0):
        return int(recipe.max_steps * batch)
    if hasattr(recipe, "steps"):
        return int(recipe.epochs * recipe.steps * max(1, batch))
    if not hasattr(recipe, "epochs"):
        return min(cases, getattr(recipe, "examples", cases))
    held_out = getattr(recipe, "validation", "none") != "none"
    n_samples = max(1, round(cases * (1 - HELD_OUT))) if held_out else cases
    n_samples *= getattr(recipe, "patches", 1)
    steps = max(1, n_samples // batch)
    return int(recipe.epochs_of(steps) * steps * min(batch, n_samples))


def cost_rows(costs: Sequence[EntryCost]) -> list[tuple[str, ...]]:
    """Cells under :data:`COST_HEADINGS`."""
    return [
        (
            f"{cost.challenge}, {cost.training}" if cost.training else cost.challenge,
            cost.entry.title,
            str(cost.cells),
            str(cost.trainings),
            "–" if cost.parameters is None else f"{cost.parameters / 1e6:.2f}",
            "–" if cost.macs is None else f"{cost.macs / 1e9:.2f}",
            f"at most {cost.minutes:g} min" if cost.minutes is not None else _count(cost.samples),
            "–" if cost.training_flops is None else f"{cost.training_flops / 1e12:.3g}",
            str(cost.cases),
        )
        for cost in costs
    ]


COST_HEADINGS = (
    "data", "model", "cells", "trainings", "params [M]", "GMACs a sample", "seen by a training",
    "training [TFLOP]", "predictions",
)  # fmt: skip


def _count(number: int | None) -> str:
    return "–" if number is None else counted(number, "sample")


def total_words(costs: Sequence[EntryCost]) -> str:
    """The whole study's cost in a sentence."""
    trainings, cells = sum(cost.trainings for cost in costs), sum(cost.cells for cost in costs)
    operations = [cost.training_flops for cost in costs if cost.training_flops is not None]
    n_unknown = len(costs) - len(operations)
    minutes = [cost.minutes * cost.trainings for cost in costs if cost.minutes is not None]
    n_cases = sum(cost.cases for cost in costs)
    words = ", ".join(map(counted, (cells, trainings, n_cases), ("cell", "training", "prediction")))
    if minutes:
        words += f", at most {sum(minutes) / 60:.1f} hours of training on one device"
    elif operations:
        words += f", {sum(operations) / 1e12:.3g} TFLOP of training"
        entries = "1 entry, which is" if n_unknown == 1 else f"{n_unknown:,} entries, which are"
        words += f" and that of {entries} not counted" if n_unknown else ""
    return f"{words}."


def by_entry(costs: Sequence[EntryCost]) -> Mapping[CostKey, EntryCost]:
    """Costs by data set, split to learn from, and entry."""
    return {CostKey(cost.challenge, cost.training, cost.entry): cost for cost in costs}
