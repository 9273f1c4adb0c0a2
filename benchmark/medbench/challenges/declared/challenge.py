"""Challenges of declared data sets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.declared.boxes import DeclaredBoxExchange, DeclaredBoxRelease, box_columns
from medbench.challenges.declared.classes import DeclaredClassRelease, class_names, figures_of
from medbench.challenges.declared.columns import columns_of, failure_rule
from medbench.challenges.declared.declaration import Declaration, read_declaration
from medbench.challenges.declared.images import (
    DeclaredImageExchange,
    DeclaredImageRelease,
    DeclaredImageScorer,
)
from medbench.challenges.declared.items import read_data_set_file
from medbench.challenges.declared.volumes import (
    DeclaredVolumeExchange,
    DeclaredVolumeRelease,
    DeclaredVolumeScorer,
)
from medbench.challenges.families.image_boxes.scoring import FAILURE_RULE as BOX_FAILURE_RULE
from medbench.challenges.families.image_boxes.scoring import IMAGE_PRECISION, ImageBoxScorer
from medbench.challenges.families.image_classes.exchange import ImageClassExchange
from medbench.challenges.families.image_classes.scoring import FAILURE_RULE, MARGIN, ImageClassScorer
from medbench.challenges.families.image_classes.table import TableForm
from medbench.core.project import Project
from medbench.io import images


def declared_factory(project: Project, name: str) -> Callable[[], Challenge]:
    """The factory of the challenge of ``[data.NAME]``.

    Raises:
        MedbenchError: as :func:`medbench.challenges.declared.declaration.read_declaration`.
    """
    assert project.path is not None
    return functools.partial(declared_challenge, read_declaration(name, project.data[name], project.path))


def declared_challenge(declaration: Declaration) -> Challenge:
    """The challenge of a declaration.

    Raises:
        MedbenchError: ``declaration.entry`` for unknown metrics, or as a layout's ``dataset.json``.
    """
    declaration = completed(declaration)
    if declaration.task == "classification":
        return _classes(declaration)
    if declaration.task == "detection":
        return _boxes(declaration)
    return _volumes(declaration) if declaration.modalities else _images(declaration)


def completed(declaration: Declaration) -> Declaration:
    """The declaration with what the layout's ``dataset.json`` says and it does not."""
    if declaration.layout not in ("nnunet", "msd"):
        return declaration
    if declaration.labels and (declaration.modalities or declaration.channels):
        return declaration
    facts = read_data_set_file(declaration.root / "dataset.json")
    is_volume = images.suffix_of(declaration.root / f"x{facts.suffix}") in images.VOLUME_SUFFIXES
    modalities = declaration.modalities or (facts.modalities if is_volume else ())
    spacing = "file" if modalities and declaration.spacing == "pixel" else declaration.spacing
    labels = declaration.labels or facts.labels
    return replace(declaration, labels=labels, modalities=modalities, spacing=spacing)


def _card(declaration: Declaration, **facts: object) -> Card:
    return Card(
        name=declaration.name,
        title=declaration.title,
        summary=f"{declaration.task} of own data, declared in {declaration.path.name}",
        citation=declaration.facts.get("citation", f"own data: {declaration.title}"),
        license=declaration.facts.get("license", "not stated"),
        homepage=declaration.facts.get("homepage", ""),
        **facts,  # type: ignore[arg-type]
    )


def _labels(declaration: Declaration) -> dict[int, str]:
    if len(declaration.labels) < 2:
        raise declaration.error("labels", "names no structure", "For example labels = { polyp = 255 }.")
    return {value: name for name, value in declaration.labels.items()}


def _structures(declaration: Declaration) -> dict[str, int]:
    return dict(list(declaration.labels.items())[1:])


def _images(declaration: Declaration) -> Challenge:
    labels = _labels(declaration)
    columns = columns_of(declaration, _structures(declaration), 2)
    specs = tuple(column.spec for column in columns)
    card = _card(declaration, labels=labels, metrics=specs, failure_rule=failure_rule(declaration))
    exchange = DeclaredImageExchange(card, DeclaredImageRelease(card, declaration))
    return Challenge(card, exchange.release, exchange, DeclaredImageScorer(card, exchange, columns))


def _volumes(declaration: Declaration) -> Challenge:
    labels = _labels(declaration)
    columns = columns_of(declaration, _structures(declaration), 3)
    card = _card(
        declaration,
        labels=labels,
        metrics=tuple(column.spec for column in columns),
        failure_rule=failure_rule(declaration),
        modalities={name: () for name in declaration.modalities},
    )
    release = DeclaredVolumeRelease(card, declaration)
    scorer = DeclaredVolumeScorer(card, release, columns, declaration)
    return Challenge(card, release, DeclaredVolumeExchange(card, release), scorer)


def _classes(declaration: Declaration) -> Challenge:
    names, figures = class_names(declaration), figures_of(declaration)
    specs = (*(figure.spec for figure in figures), MARGIN)
    card = _card(
        declaration, demands_besides={"image_classes": names}, metrics=specs, failure_rule=FAILURE_RULE
    )
    release = DeclaredClassRelease(card, declaration)
    exchange = ImageClassExchange(card, release, TableForm("image", names))
    return Challenge(card, release, exchange, ImageClassScorer(card, exchange, figures))


def _boxes(declaration: Declaration) -> Challenge:
    columns = box_columns(declaration)
    card = _card(
        declaration,
        demands_besides={"boxes": class_names(declaration)},
        metrics=(*(column.spec for column in columns), IMAGE_PRECISION),
        failure_rule=BOX_FAILURE_RULE,
    )
    exchange = DeclaredBoxExchange(card, DeclaredBoxRelease(card, declaration))
    return Challenge(card, exchange.release, exchange, ImageBoxScorer(card, exchange, columns))
