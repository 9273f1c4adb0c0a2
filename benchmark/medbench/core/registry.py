"""Names that resolve lazily: a table of ``"module:object"`` strings imported on first use."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.metadata
import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from medbench.core.errors import MedbenchError
from medbench.core.plugins import broken

T = TypeVar("T")

logger = logging.getLogger(__name__)
_messages: set[str] = set()
_LISTINGS = {"model": "medbench models", "challenge": "medbench challenges", "metric": "medbench metrics"}
_MOST_NAMED = 20


def load_object(target: str) -> Any:
    """The object of ``"package.module:object"``, imported."""
    module, _, attribute = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def unknown_name(kind: str, name: str, names: Iterable[str]) -> MedbenchError:
    """The error for an unknown name; its hint has the nearest names, else all, or what lists them."""
    names = sorted(names)
    close = nearest_names(name, names)
    if close:
        hint = f"Did you mean {', '.join(close)}?"
    elif kind in _LISTINGS and len(names) > _MOST_NAMED:
        hint = f"'{_LISTINGS[kind]}' lists the names."
    else:
        hint = f"Known: {', '.join(names) or 'none'}."
    return MedbenchError(f"{kind}.unknown", f"There is no {kind} named '{name}'.", hint)


def nearest_names(name: str, names: Iterable[str]) -> list[str]:
    """The names that may be meant by one that is none of them, the nearest first; none where all are far."""
    names = sorted(names)
    named_after = [candidate for candidate in names if candidate.lower().startswith(f"{name.lower()}.")]
    close = sorted(named_after, key=lambda candidate: candidate.count("."))[:8]
    close = close or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return close or [candidate for candidate in names if name.lower() in candidate.lower()][:3]


class Registry(Generic[T]):
    """Objects by name; an object may still be an unimported ``"module:object"``.

    Third parties add entries through the entry-point group ``medbench.<kind>s``.
    """

    def __init__(self, kind: str, builtin: dict[str, str] | None = None) -> None:
        self.kind = kind
        self._targets: dict[str, T | str] = dict(builtin or {})
        self._discovered = False
        self._discovery = threading.Lock()

    def _discover(self) -> None:
        """Add what installed packages announce; threads that ask meanwhile wait for it."""
        if self._discovered:
            return
        with self._discovery:
            if self._discovered:
                return
            for point in importlib.metadata.entry_points(group=f"medbench.{self.kind}s"):
                try:
                    self.add(point.name, point.value)
                except MedbenchError as error:
                    self.report(error)
            self._discovered = True

    @staticmethod
    def report(error: MedbenchError) -> None:
        """Log one line, once, about what cannot be registered, read or imported; the rest stays usable."""
        if error.message not in _messages:
            _messages.add(error.message)
            logger.warning("%s %s", error.message, error.hint)

    @staticmethod
    def _origin(value: object) -> str:
        if isinstance(value, str):
            return value
        return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', value)}"

    def add(self, name: str, value: T | str) -> None:
        """Register ``name``.

        Raises:
            MedbenchError: ``<kind>.clash`` when the name is taken by another object.
        """
        present = self._targets.get(name)
        if present is not None and present != value:
            raise MedbenchError(
                f"{self.kind}.clash",
                f"Two {self.kind}s are named '{name}': {self._origin(present)} and {self._origin(value)}.",
                "Rename one of them.",
            )
        self._targets[name] = value

    def get(self, name: str) -> T:
        """The object of that name, imported on first use.

        Raises:
            MedbenchError: ``<kind>.unknown`` with the nearest names; ``plugin.broken`` when a third party's
                module cannot be imported.
        """
        self._discover()
        if name not in self._targets:
            raise unknown_name(self.kind, name, self._targets)
        value = self._targets[name]
        if isinstance(value, str):
            value = self._loaded(name, value)
            self._targets[name] = value
        return value

    def _loaded(self, name: str, target: str) -> T:
        try:
            return cast(T, load_object(target))
        except MedbenchError:
            raise
        except (Exception, SystemExit) as error:
            if target.startswith("medbench."):
                raise
            raise broken(f"{self.kind} {name} of {target}", error) from error

    def values(self, pattern: str = "*") -> Iterator[tuple[str, T]]:
        """Names and objects that match a pattern; an entry that cannot be imported is logged and left out."""
        for name in self.names(pattern):
            try:
                yield name, self.get(name)
            except MedbenchError as error:
                self.report(error)

    def imported(self, name: str) -> T | None:
        """The object of that name where it is imported already."""
        value = self._targets.get(name)
        return None if isinstance(value, str) else value

    def names(self, pattern: str = "*") -> list[str]:
        """Registered names that match a shell-style pattern, sorted."""
        self._discover()
        return sorted(fnmatch.filter(self._targets, pattern))

    def __contains__(self, name: str) -> bool:
        self._discover()
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
