"""Checks of a metric's definition before it scores anything."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

from medbench.core.errors import MedbenchError
from medbench.metrics.convention import Convention, EmptyPolicy, Family

_ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_TARGET = re.compile(r"[\w.]+:[\w.]+")
_TAKEN = ("spacing", "label", "empty", "workers")


def check_definition(convention: Convention, id: str | None = None) -> None:
    """Refuse a definition that is incomplete, cannot be called, or contradicts its function.

    Args:
        convention: the definition.
        id: the name under which an entry point announces it.

    Raises:
        MedbenchError: ``metric.definition``, naming the metric and what is wrong with it.
    """
    if not isinstance(convention, Convention):
        raise MedbenchError(
            "metric.definition",
            f"The metric {id or convention!r} is no Convention but {type(convention).__name__}.",
            "Describe it by a medbench.metrics.Convention; its target is the function.",
        )
    faults = [fault for fault in (*_faults_of_facts(convention), *_faults_of_target(convention)) if fault]
    if id is not None and convention.id != id:
        faults.insert(0, f"its id is '{convention.id}'")
    if faults:
        raise MedbenchError(
            "metric.definition",
            f"The metric '{id or convention.id}' of {convention.origin} cannot be used: {'; '.join(faults)}.",
            "Each field is described in medbench.metrics.Convention.",
        )


def _faults_of_facts(convention: Convention) -> list[str]:
    faults = [
        f"its {name} is missing" + (", which is '1' for ratios" if name == "unit" else "")
        for name in ("title", "definition", "source", "unit")
        if not str(getattr(convention, name)).strip()
    ]
    if not _ID.fullmatch(convention.id):
        faults.append("its id may hold small letters, digits, '_' and '.' between words only")
    if convention.family not in get_args(Family):
        faults.append(f"its family '{convention.family}' is none of {', '.join(get_args(Family))}")
    if convention.better not in ("higher", "lower"):
        faults.append(f"better is '{convention.better}' instead of 'higher' or 'lower'")
    low, high = convention.range
    if not low < high:
        faults.append(f"its range {convention.range} does not rise")
    if not isinstance(convention.empty, EmptyPolicy):
        faults.append("its rule for empty masks is no EmptyPolicy")
    if convention.needs_frame and not convention.compares_masks:
        faults.append("needs_frame is for metrics of masks")
    clashes = [name for name in convention.options if name in _TAKEN]
    if clashes:
        faults.append(f"the option '{clashes[0]}' has a name that medbench.score uses")
    return faults


def _faults_of_target(convention: Convention) -> list[str]:
    target = convention.target
    if isinstance(target, str):
        return [] if _TARGET.fullmatch(target) else [f"its target '{target}' is no 'module:function'"]
    if not callable(target):
        return [f"its target is neither a function nor 'module:function' but {type(target).__name__}"]
    arguments, keywords = call_of(convention)
    try:
        inspect.signature(target).bind(*arguments, **keywords)
    except TypeError as error:
        call = ", ".join([*arguments, *(f"{name}=…" for name in keywords)])
        return [f"its function cannot be called with ({call}): {error}"]
    except ValueError:
        return []
    return []


def call_of(convention: Convention) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the positional arguments and of the keywords with which a metric's function is called."""
    keywords = dict(convention.options)
    if convention.compares_masks:
        return ("pair",), keywords
    if convention.needs_spacing:
        keywords["spacing"] = None
    return ("reference", "prediction"), keywords
