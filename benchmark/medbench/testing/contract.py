"""How a broken contract is told."""

from __future__ import annotations

from collections.abc import Iterable


class ContractError(AssertionError):
    """A part does not keep the contract of its kind; the message lists every point that it breaks."""


def require(what: str, problems: Iterable[str]) -> None:
    """Raise when there is a problem.

    Raises:
        ContractError: with all of the problems, one a line.
    """
    lines = list(problems)
    if lines:
        raise ContractError(f"{what} breaks its contract:\n" + "\n".join(f"  - {line}" for line in lines))
