"""How weights were learnt, in words that repeat it: the recipe's changed settings and the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.places import command_line
from medbench.running.networks import NetworkPlan, recipe_for

CHANGES, COMMAND, CPU_MINUTES = "changes", "command", "cpu_minutes"
_NAMES = ("name", "description")


def how_trained(network: NetworkPlan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Two entries for a record's ``training``: settings that differ from the named recipe, and the command.

    Args:
        network: the model with its options.
        facts: what the weights file says of its training; empty for weights of other programs.
    """
    if "recipe" not in facts or "challenge" not in facts:
        return {}
    changes = recipe_changes(load_challenge(facts["challenge"]), network, facts["recipe"])
    return {CHANGES: changes, COMMAND: train_command(facts, changes)}


def took(cpu_minutes: Sequence[float]) -> dict[str, Any]:
    """An entry for a record's ``training``: CPU minutes of each network's training, where they are known."""
    return {CPU_MINUTES: list(cpu_minutes)} if cpu_minutes else {}


def recipe_changes(challenge: Challenge, network: NetworkPlan, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training's recipe that differ from those of its name today; all where that is gone."""
    try:
        settings = recipe_for(challenge, network, recipe["name"]).as_json()
    except MedbenchError:
        settings = {}
    plain, own = json.loads(json.dumps([recipe, settings]))
    return {
        name: value
        for name, value in plain.items()
        if name not in _NAMES and (name not in own or own[name] != value)
    }


def train_command(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The command that repeats a training, with ``{data}`` and ``{init}`` for paths of one machine.

    Args:
        facts: ``model``, ``challenge``, ``recipe``, and where they are known ``split``, ``data``, ``options``
            and the ``start``.
        changes: settings that differ from the recipe's.
    """
    words = ["medbench", "train", "-m", str(facts["model"]), "-c", str(facts["challenge"])]
    words += ["--split", str(facts["split"])] if facts.get("split") else []
    words += ["--data", "{data}"] if facts.get("data") == "real" else []
    words += ["--recipe", str(facts["recipe"]["name"])]
    for name, value in changes.items():
        words += ["--recipe-set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for name, value in (facts.get("options") or {}).items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    if "start" in facts:
        words += ["--init", "{init}"]
        words += [word for part in facts["start"]["frozen"] for word in ("--freeze", str(part))]
    return command_line(words)
