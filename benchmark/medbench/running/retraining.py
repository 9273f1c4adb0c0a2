"""How weights were learnt, in words that repeat it: the recipe's changed settings and the command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.places import command_line
from medbench.running.networks import NetworkPlan, recipe_for

CHANGES, COMMAND = "changes", "command"
_NAMES = ("name", "description")


def how_trained(network: NetworkPlan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Two entries for a record's ``training``: settings that differ from the named recipe, and the command.

    Args:
        network: the model with its options.
        facts: what the weights file says of its training; empty for weights of other programs.
    """
    if "recipe" not in facts or "challenge" not in facts:
        return {}
    changes = recipe_changes(network, facts)
    arguments = ["medbench", "train", "-m", str(facts["model"]), "-c", str(facts["challenge"])]
    arguments += ["--split", str(facts["split"])] if facts.get("split") else []
    arguments += ["--data", "{data}"] if facts.get("data") == "real" else []
    arguments += ["--recipe", str(facts["recipe"]["name"])]
    for name, value in changes.items():
        arguments += ["--recipe-set", f"{name}={_text(value)}"]
    for name, value in (facts.get("options") or {}).items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    if "start" in facts:
        arguments += ["--init", "{init}"]
        arguments += [word for part in facts["start"]["frozen"] for word in ("--freeze", str(part))]
    return {CHANGES: changes, COMMAND: command_line(arguments)}


def recipe_changes(network: NetworkPlan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training's recipe that differ from those of its name today; all where that is gone."""
    recipe: Mapping[str, Any] = facts["recipe"]
    try:
        named = recipe_for(load_challenge(facts["challenge"]), network, recipe["name"]).as_json()
    except MedbenchError:
        named = {}
    plain = json.loads(json.dumps(named))
    return {
        name: value
        for name, value in recipe.items()
        if name not in _NAMES and (name not in plain or plain[name] != value)
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
