"""Paths of this machine, and the words that stand for them in what is shared."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.folders import cache_folder
from medbench.core.package import PACKAGE
from medbench.core.text import printable

_PLACEHOLDER = re.compile(r"\{[a-z_]+\}[\w./ -]*")
_SPELLING = r"[^\s'\"<>|:;,()\[\]{}]"
_ABSOLUTE = re.compile(rf"(?<![\w.:/}}~\\])(?:/|[A-Za-z]:[\\/])(?:{_SPELLING}+[\\/])+({_SPELLING}*)")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files of a request by the word that names them, ``{data}`` for one.

    Attributes:
        words: path as it is written in messages -> word; a longer path comes before its folder.
    """

    words: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, paths: Mapping[str, Path | str | None]) -> Places:
        """The places of a request, with the cache, the package, the home and the working folder.

        Args:
            paths: name -> path; those that are ``None`` are left out.
        """
        everywhere = {"cache": _cache(), "medbench": PACKAGE, "home": _home(), "here": Path.cwd()}
        everywhere["temporary"] = Path(tempfile.gettempdir())
        pairs: dict[str, str] = {}
        for name, path in [*paths.items(), *everywhere.items()]:
            if path is not None:
                for spelling in _spellings(Path(path)):
                    pairs.setdefault(spelling, f"{{{name}}}")
        return cls(tuple(sorted(pairs.items(), key=lambda pair: -len(pair[0]))))

    def hide(self, text: str) -> str:
        """The text with words for the places, and the last name alone of any other absolute path."""
        if "/" not in text and "\\" not in text:
            return text
        for path, word in self.words:
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w-])", lambda _, word=word: word, text)  # type: ignore[misc]
        return _ABSOLUTE.sub(r"…/\1", text)

    def hide_all(self, value: Any) -> Any:
        """A JSON value with every text in it hidden."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {key: self.hide_all(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_all(inner) for inner in value]
        return value


def command_line(words: Iterable[str]) -> str:
    """Words as a command for a shell; placeholders stay as they are, to be replaced by the reader."""
    parts = (printable(word, None) for word in words)
    return " ".join(word if _PLACEHOLDER.fullmatch(word) else shlex.quote(word) for word in parts)


def _cache() -> Path | None:
    try:
        return cache_folder()
    except MedbenchError:
        return None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def _spellings(path: Path) -> Sequence[str]:
    """A path as it was given, absolute and resolved; short ones, which could be any word, only in full."""
    absolute = Path.cwd() / path
    spellings = {str(absolute), str(path.resolve()), *([str(path)] if len(path.parts) > 1 else [])}
    return sorted(text for text in spellings if len(text) > 1)
