"""Cards of challenges: facts that need neither data nor code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.core.registry import unknown_name
from medbench.core.result_table import MetricSpec
from medbench.core.slides import SlideSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Facts of a challenge: what it demands, reports and cites.

    Attributes:
        name: name on the command line.
        title: title in tables.
        summary: the challenge's aim in a few words.
        metrics: columns of the result table.
        failure_rule: scores of a failed or missing case, in words.
        citation: how to cite the challenge, in one line.
        license: licence of the data.
        homepage: address of the challenge or its data.
        labels: labels of demanded label maps: value in the challenge's files -> name, the background first;
            empty where no label map is demanded.
        regions: regions that the labels make together, by all their names -> their labels; empty where none
            are scored.
        demands_besides: other demanded tasks -> names of their classes, landmarks or scores.
        modalities: modalities of a case in the order of a volume's channels: key of :attr:`Case.inputs` ->
            other names; empty where cases are not volumes on one grid.
        modality_combinations: non-empty subsets of the modalities in the order of published tables.
        resampling: how the protocol resizes images and label maps.
        slide_settings: settings of prediction on slides, where cases are slides.
        augmentation: augmentation in place of a recipe's, where the images need another; empty keeps the
            recipe's.
        learns_from: name of the challenge whose training split is used; empty for its own.
        case_columns: entries of a case's evidence that tables of cases show beside its id.
        bibtex: BibTeX of the citation.
        published_file: TOML file of published results with their sources; ``None`` where there is none.
    """

    name: str
    title: str
    summary: str
    metrics: tuple[MetricSpec, ...]
    failure_rule: str
    citation: str
    license: str
    homepage: str
    labels: Mapping[int, str] = field(default_factory=dict)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    demands_besides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modalities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modality_combinations: tuple[tuple[str, ...], ...] = ()
    resampling: Literal["image", "spline"] = "image"
    slide_settings: SlideSettings | None = None
    augmentation: str = ""
    learns_from: str = ""
    case_columns: tuple[str, ...] = ()
    bibtex: str = ""
    published_file: Path | None = None

    @property
    def demands(self) -> Mapping[str, tuple[str, ...]]:
        """All demanded tasks -> names of their classes, landmarks or scores."""
        own = {"label_map": tuple(self.labels.values())} if self.labels else {}
        return {**own, **self.demands_besides}

    @property
    def image_classes(self) -> tuple[str, ...]:
        """Names of the demanded classes of whole images; empty where none are demanded."""
        return self.demands_besides.get("image_classes", ())

    def metric(self, name: str) -> MetricSpec:
        """The column of that name.

        Raises:
            MedbenchError: ``metric.unknown`` with the nearest names.
        """
        for spec in self.metrics:
            if spec.name == name:
                return spec
        raise unknown_name("metric", name, [spec.name for spec in self.metrics])

    def published(self) -> list[dict[str, Any]]:
        """Published results with their sources."""
        if self.published_file is None:
            return []
        with open(self.published_file, "rb") as stream:
            results = tomllib.load(stream)["result"]
        return [result for result in results if result.get("challenge", self.name) == self.name]
