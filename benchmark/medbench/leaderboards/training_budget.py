"""What a row's training took, beside the budget of CPU minutes that its steps were planned for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERANCE = 0.15
"""Share of the budget by which each network's training may miss it."""

Row = Mapping[str, Any]


def cpu_minutes(row: Row) -> list[float]:
    """CPU minutes of each network's training; empty where they are not on record."""
    return list((row.get("training") or {}).get("cpu_minutes") or ())


def budget_minutes(row: Row) -> float:
    """CPU minutes that each network's training was planned to take; 0 without such a budget."""
    recipe = (row.get("training") or {}).get("recipe") or {}
    return float(recipe.get("cpu_minutes") or 0)


def missed_budget(row: Row) -> str:
    """How a row's trainings missed their budget by more than the tolerance; empty where none did.

    >>> recipe = {"cpu_minutes": 3}
    >>> missed_budget({"training": {"recipe": recipe, "cpu_minutes": [3.4, 2.6]}})
    ''
    >>> missed_budget({"training": {"recipe": recipe, "cpu_minutes": [3.4, 3.5]}})
    'budget 3 CPU min, took 3.4 and 3.5'
    >>> missed_budget({"training": {"recipe": recipe}})
    'budget 3 CPU min, cost unknown'
    """
    budget, own = budget_minutes(row), cpu_minutes(row)
    if not budget or (own and all(abs(minutes - budget) <= TOLERANCE * budget for minutes in own)):
        return ""
    cost = f"took {' and '.join(f'{minutes:.1f}' for minutes in own)}" if own else "cost unknown"
    return f"budget {budget:g} CPU min, {cost}"


def cost_text(row: Row) -> str:
    """CPU minutes of all networks of a row, and their budget: ``8.9 of 3 × 3``; a dash where unknown."""
    budget, own = budget_minutes(row), cpu_minutes(row)
    if not own:
        return "–"
    of = f" of {budget:g}" if budget else ""
    networks = f" × {len(own)}" if budget and len(own) > 1 else ""
    return f"{sum(own):.1f}{of}{networks}"
