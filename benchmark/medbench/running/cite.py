"""BibTeX and licences of models and challenges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.models import list_models, model_entry
from medbench.models.entry import ModelEntry, usual_models
from medbench.records.schema import RunRecord

_LISTS = "'medbench models' and 'medbench challenges' list the names."


@dataclass(frozen=True, slots=True)
class Citation:
    """The citation of a model or a challenge.

    Attributes:
        name: name in medbench.
        kind: ``model`` or ``challenge``.
        bibtex: one or more entries.
        licence: licence of the authors' code, or of the data.
        origin: the authors' repository, or the challenge's page.
    """

    name: str
    kind: str
    bibtex: str
    licence: str
    origin: str


def cite(names: Sequence[str]) -> list[Citation]:
    """Citations of models and challenges, in the order of the names.

    Raises:
        MedbenchError: ``name.unknown`` with the nearest names.
    """
    challenges, models = list_challenges(), list_models()
    citations = []
    for name in names:
        if name in challenges:
            citations.append(_of_challenge(load_challenge(name)))
        elif name in models:
            citations.append(_of_model(model_entry(name)))
        else:
            error = unknown_name("name", name, [*challenges, *usual_models(models)])
            hint = error.hint if error.hint.startswith("Did") else _LISTS
            raise MedbenchError(error.code, f"There is no model and no challenge named '{name}'.", hint)
    return citations


def bibtex_of(record: RunRecord) -> str:
    """The entries of a run's challenge and, where it is one of ours, of its model."""
    citations = [_of_challenge(load_challenge(record.challenge.name))]
    if record.model.name in list_models():
        citations.append(_of_model(model_entry(record.model.name)))
    return "\n\n".join(citation.bibtex for citation in citations)


def _of_challenge(challenge: Challenge) -> Citation:
    address = {"howpublished": f"\\url{{{challenge.card.homepage}}}"} if challenge.card.homepage else {}
    bibtex = challenge.card.bibtex or _misc(
        challenge.name, challenge.title, **address, note=challenge.card.citation
    )
    return Citation(challenge.name, "challenge", bibtex, challenge.card.license, challenge.card.homepage)


def _of_model(entry: ModelEntry) -> Citation:
    facts: dict[str, str] = {}
    if entry.arxiv:
        number = entry.arxiv.split("v")[0]
        facts = {"year": f"20{number[:2]}", "eprint": number, "archivePrefix": "arXiv"}
        facts["url"] = f"https://arxiv.org/abs/{number}"
    elif entry.doi:
        facts = {"doi": entry.doi}
    if entry.code:
        facts["note"] = f"Code: {entry.code}"
    bibtex = _misc(entry.name, entry.paper_title or entry.title, **facts)
    return Citation(entry.name, "model", bibtex, entry.code_license or "not stated", entry.code)


def _misc(name: str, title: str, **facts: str) -> str:
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    escapes = {
        field: value if "\\url" in value else _escaped(value)
        for field, value in facts.items()
        if field not in ("url", "doi", "eprint")
    }
    plain = {field: value for field, value in facts.items() if field not in escapes}
    fields: dict[str, str] = {"title": f"{{{_escaped(title)}}}", **plain, **escapes}
    lines = [f"  {field} = {{{value}}}" for field, value in fields.items()]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"


def _escaped(words: str) -> str:
    """Words with LaTeX's special letters escaped, as far as they are not."""
    return re.sub(r"(?<!\\)([&%#_])", r"\\\1", words)
