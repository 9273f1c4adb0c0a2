"""Weights that a training starts from: which parameters of a file fit a network, under whatever names."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object, unknown_name
from medbench.core.text import counted
from medbench.inference.wrappers import peelings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medbench.models.entry import ModelEntry

LEAST_SHARE = 0.25
"""Share of a file's names that begin alike, from which the beginning may be a wrapper's."""
DEEPEST = 2
OTHER_CLASSES = "learnt other classes"
UNKNOWN = "no such parameter"


@dataclass(frozen=True, slots=True)
class StartWeights:
    """Parameters of a file that fit a network, and those that do not.

    Attributes:
        state: parameter of the network -> its value in the file.
        missing: parameters of the network that keep their fresh values.
        refused: parameter of the file -> why it is not taken.
    """

    state: Mapping[str, Tensor]
    missing: tuple[str, ...]
    refused: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """Number of matched parameters, and names of the others."""
        return {
            "matched": len(self.state),
            "missing": list(self.missing),
            "refused": dict(self.refused),
        }

    def load_into(self, network: nn.Module) -> None:
        """Give the network the parameters that fit."""
        network.load_state_dict({**network.state_dict(), **self.state})


def start_weights(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    source: str,
    *,
    entry: ModelEntry | None = None,
    heads: Collection[str] = (),
) -> StartWeights:
    """The parameters of a file that fit a network by name and shape.

    Names may be the network's own, the authors' of the whole network or of its encoder alone, or a library's
    of a part, with or without wrappers before them; the reading with the most matching values counts.

    Args:
        own: state dictionary of the network.
        state: state dictionary of the file.
        source: names the file in errors.
        entry: the model's card, for the authors' names.
        heads: parameters of the network that are not taken, since the file's mean other classes.

    Raises:
        MedbenchError: ``init.nothing_matches`` with the first names on both sides.
    """
    best = _best_reading(own, state, entry)
    if not _values(own, best):
        raise MedbenchError(
            "init.nothing_matches",
            f"{source}: none of its {counted(len(state), 'parameter')} (first: {', '.join(list(state)[:3])}) "
            f"fits one of the network's {len(own)} (first: {', '.join(list(own)[:3])}).",
            "Give weights of this model, of its encoder, or the options that those weights were made with.",
        )
    parameters: dict[str, Tensor] = {}
    reasons: dict[str, str] = {}
    for theirs in state:
        name, value = best.get(theirs, (theirs, state[theirs]))
        if name not in own:
            reasons[theirs] = UNKNOWN
        elif own[name].shape != value.shape:
            reasons[theirs] = f"shape {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        elif name in heads:
            reasons[theirs] = OTHER_CLASSES
        else:
            parameters[name] = value
    return StartWeights(parameters, tuple(name for name in own if name not in parameters), reasons)


Reading = Mapping[str, tuple[str, "Tensor"]]
"""Parameter of a file -> the network's name for it, and its value in the network's form."""


def _best_reading(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], entry: ModelEntry | None
) -> Reading:
    """The reading of the file with the most values that fit; the first of equal ones."""
    whole = sum(tensor.numel() for tensor in own.values() if tensor.ndim)
    best: Reading = {}
    most = 0
    for names in _namings(state, entry):
        for reading in _placings(own, names):
            count = _values(own, reading)
            if count > most:
                best, most = reading, count
            if most == whole:
                return best
    return best


def _values(own: Mapping[str, Tensor], reading: Reading) -> int:
    """Number of values that fit; single numbers, such as counters of batches, do not count."""
    return sum(
        value.numel()
        for name, value in reading.values()
        if name in own and own[name].shape == value.shape and value.ndim
    )


def _namings(state: Mapping[str, Tensor], entry: ModelEntry | None) -> Iterator[Reading]:
    """The file's parameters by their own names and, where the card has a table, by the authors'."""
    yield {name: (name, value) for name, value in state.items()}
    if entry is None or not entry.official_keys:
        return
    translate = load_object(entry.official_keys)
    for parameters, prefix in (
        (p, q) for p in peelings(state) for q in dict.fromkeys(("", entry.encoder_prefix))
    ):
        reading: dict[str, tuple[str, Tensor]] = {}
        for theirs, (shorter, value) in zip(state, parameters.items(), strict=True):
            with contextlib.suppress(MedbenchError):
                reading.update((theirs, pair) for pair in translate({prefix + shorter: value}).items())
        yield reading


def _placings(own: Mapping[str, Tensor], names: Reading) -> Iterator[Reading]:
    """A naming with a wrapper's beginning taken off, and put below a part of the network."""
    places = ["", *_beginnings(own)]
    for wrapper in ("", *_shared_beginnings([name for name, _ in names.values()])):
        inside = {
            theirs: (name.removeprefix(wrapper), value)
            for theirs, (name, value) in names.items()
            if name.startswith(wrapper)
        }
        for place in places:
            yield {theirs: (place + name, value) for theirs, (name, value) in inside.items()}


def _beginnings(names: Collection[str]) -> list[str]:
    parts = [name.split(".")[:-1] for name in names]
    return list(
        dict.fromkeys(
            ".".join(part[:depth]) + "." for part in parts for depth in range(1, min(DEEPEST, len(part)) + 1)
        )
    )


def _shared_beginnings(names: Sequence[str]) -> list[str]:
    return [
        beginning
        for beginning in _beginnings(names)
        if sum(name.startswith(beginning) for name in names) >= LEAST_SHARE * len(names)
    ]


def freeze(network: nn.Module, parts: Sequence[str]) -> list[str]:
    """Keep parts of a network as they are: their parameters get no gradient.

    Args:
        network: the network.
        parts: names of modules or parameters, such as ``encoder``; a part may lie below a wrapper.

    Returns:
        Names of the frozen parameters.

    Raises:
        MedbenchError: ``init.part`` for a part that the network does not have, with the nearest names;
            ``init.frozen`` where nothing is left to learn.
    """
    still = []
    names = dict(network.named_parameters())
    for part in parts:
        own = [name for name in names if _lies_in(name, part)]
        if not own:
            raise _no_part(part, list(names))
        still += own
    if parts and set(still) >= set(names):
        raise MedbenchError(
            "init.frozen",
            f"No parameter is left to train with {', '.join(parts)} frozen.",
            "Freeze fewer parts.",
        )
    for name in still:
        names[name].requires_grad_(False)
    return list(dict.fromkeys(still))


def _lies_in(name: str, part: str) -> bool:
    return any(f"{inner}.".startswith(f"{part}.") for inner in (name, name.partition(".")[2]))


def _no_part(part: str, names: Sequence[str]) -> MedbenchError:
    beginnings = {beginning.rstrip(".") for beginning in _beginnings(names)}
    error = unknown_name("part of the network", part, beginnings)
    return MedbenchError("init.part", error.message, error.hint)
