"""What every challenge provides."""

from __future__ import annotations

import abc
import inspect
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.registry import unknown_name
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, mean_statistic
from medbench.core.sample import Prediction, Sample, TrainingImage, TrainingVolume, VolumeSample
from medbench.core.score import Score, Status
from medbench.core.slides import SlideSettings

if TYPE_CHECKING:
    from medbench.statistics.ranking import Standing


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """How a split is drawn.

    Attributes:
        rule: the rule in a sentence, with its seed and source.
        cases: cases of the split in the complete release; ``None`` where that is not known.
        names_sha256: SHA-256 of the complete split's case ids in order, joined by newlines; empty where the
            list is not known.
    """

    rule: str
    cases: int | None = None
    names_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check of a data folder found."""

    severity: Literal["error", "warning", "note"]
    message: str
    advice: str = ""


def size_text(shape: Sequence[int]) -> str:
    """``height×width``."""
    return "×".join(map(str, shape))


class Challenge(abc.ABC):
    """A challenge: where its files lie, what they mean, and how its organisers score.

    Attributes:
        data_name: name of the data, where several challenges share a release.
        case_columns: entries of a row's evidence that tables of cases show beside its id.
        augmentation: takes the place of a recipe's own where pictures call for it; empty keeps the recipe's.
        sample_options: what :meth:`sample_with` understands: name -> what it is, a whole number each.
        modalities: sequences that a case may have, in the order of a volume's channels: key of
            :attr:`Case.inputs` -> other names of it; empty where cases are not volumes on one grid.
        modality_combinations: non-empty subsets of them in the order of published tables.
        slide_settings: how pictures that do not fit in memory are predicted, where cases are such pictures.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    task: ClassVar[str]
    labels: ClassVar[Mapping[int, str]]
    image_classes: ClassVar[Sequence[str]] = ()
    splits: ClassVar[Sequence[str]]
    default_split: ClassVar[str] = "test"
    training_split: ClassVar[str] = "train"
    metrics: ClassVar[Sequence[MetricSpec]]
    failure_rule: ClassVar[str]
    citation: ClassVar[str]
    license: ClassVar[str]
    homepage: ClassVar[str]
    data_hint: ClassVar[str]
    sample_version: ClassVar[str]
    bibtex: ClassVar[str] = ""
    resampling: ClassVar[Literal["picture", "spline"]] = "picture"
    data_name: ClassVar[str] = ""
    case_columns: ClassVar[Sequence[str]] = ()
    augmentation: ClassVar[str] = ""
    sample_options: ClassVar[Mapping[str, str]] = {}
    modalities: ClassVar[Mapping[str, Sequence[str]]] = {}
    modality_combinations: ClassVar[Sequence[tuple[str, ...]]] = ()
    slide_settings: ClassVar[SlideSettings | None] = None

    def learns_as(self) -> Challenge:
        """The challenge whose training serves this one: itself, unless two tasks share what they learn."""
        return self

    def place(self, case: Case) -> tuple[int, int] | None:
        """Row and column of a case's picture in a larger one that its group's pictures are cut from."""
        return None

    @property
    def data_set(self) -> str:
        """Name of the folder that holds the data: the challenge's own, unless challenges share their data."""
        return self.data_name or self.name

    def split_facts(self, split: str) -> SplitFacts | None:
        """How the split is drawn, where the challenge has several ways or drew it itself."""
        return None

    def training_split_of(self, split: str) -> str:
        """The split to learn from before ``split`` is predicted; :meth:`share_cases` says if it may be."""
        return self.training_split

    def share_cases(self, training_split: str, split: str) -> bool:
        """Whether two splits overlap by their definition, so that one cannot test what the other taught.

        A split that is predicted after learning from it is the caller's own wish and no overlap.
        """
        return False

    def release_share(self, root: Path, split: str) -> tuple[int, int] | None:
        """Cases that the folder holds and cases of the complete release, where the latter is known.

        Both are of the split where the release says how large it is, else of what the split is drawn from.

        Raises:
            MedbenchError: as :meth:`cases`.
        """
        facts = self.split_facts(split)
        return None if facts is None or facts.cases is None else (len(self.cases(root, split)), facts.cases)

    def metric(self, name: str) -> MetricSpec:
        """The column of that name.

        Raises:
            MedbenchError: ``metric.unknown``.
        """
        for spec in self.metrics:
            if spec.name == name:
                return spec
        raise unknown_name("metric", name, [spec.name for spec in self.metrics])

    def check_split(self, split: str) -> None:
        """Refuse a split that the challenge does not have.

        Raises:
            MedbenchError: ``split.unknown``.
        """
        if split not in self.splits:
            raise unknown_name("split", split, self.splits)

    @abc.abstractmethod
    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's cases in a fixed order.

        Raises:
            MedbenchError: ``split.unknown``, ``data.layout_unknown`` or ``data.empty``.
        """

    @abc.abstractmethod
    def read(self, case: Case) -> Sample:
        """The case's pictures.

        Raises:
            MedbenchError: naming the file that cannot be read.
        """

    def read_volumes(self, case: Case) -> VolumeSample:
        """The case's sequences as one array, where :attr:`modalities` names some.

        Raises:
            MedbenchError: ``challenge.no_volumes``, or naming the file that cannot be read.
        """
        raise self.no_volumes()

    def training_volumes(self, root: Path, split: str) -> list[TrainingVolume]:
        """What a network that sees volumes learns from; files are opened by their ``load`` only.

        Raises:
            MedbenchError: ``challenge.no_volumes``, and as :meth:`cases`.
        """
        raise self.no_volumes()

    def no_volumes(self) -> MedbenchError:
        """The error for a three-dimensional network on a challenge of pictures."""
        return MedbenchError(
            "challenge.no_volumes",
            f"{self.title} has no volumes for three-dimensional networks.",
            "Choose a two-dimensional model; 'medbench models' lists them.",
        )

    @abc.abstractmethod
    def prediction_name(self, case: Case) -> str:
        """Where :meth:`write` puts the case's prediction, relative to the folder."""

    @abc.abstractmethod
    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the prediction in the challenge's format, atomically; the path written."""

    @abc.abstractmethod
    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Score one prediction file against the case's reference.

        Raises:
            MedbenchError: when the prediction or the reference cannot be read or does not fit.
        """

    @abc.abstractmethod
    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """The scores that a failed or missing case takes by the challenge's declared rule."""

    @abc.abstractmethod
    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The pure core of the scoring, on arrays."""

    @abc.abstractmethod
    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """What a network learns from; decoded pictures may be kept under ``cache``."""

    @abc.abstractmethod
    def sample(self, root: Path) -> None:
        """Write the synthetic sample into ``root`` in the challenge's own layout."""

    def sample_with(self, root: Path, options: Mapping[str, int]) -> None:
        """Write a sample of another size; the options are those of :attr:`sample_options`."""
        if options:
            known = ", ".join(self.sample_options) or "none"
            raise MedbenchError(
                "sample.option",
                f"The sample of {self.title} has no option '{next(iter(options))}'.",
                f"Its options: {known}.",
            )
        self.sample(root)

    @abc.abstractmethod
    def check(self, root: Path) -> list[Finding]:
        """Look a data folder over: counts, sizes, labels, leaks between splits."""

    def illustrate(
        self, case: Case, path: Path
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Picture ``(height, width, 3)``, reference and prediction labels for reports; ``None`` if not apt.

        Raises:
            MedbenchError: when a file cannot be read.
        """
        return None

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """All that a report shows of a case: :meth:`illustrate`, unless the challenge has more to show.

        Raises:
            MedbenchError: when a file cannot be read.
        """
        shown = self.illustrate(case, path)
        return [] if shown is None else [Illustration(*shown)]

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The case's prediction in ``folder``: at its own place, or by its file name alone.

        Args:
            case: the case.
            folder: predictions, ours or foreign.
            rename: ``(old, new)`` text to replace in the file name, for foreign naming schemes.
        """
        name = Path(self.prediction_name(case))
        if rename is not None:
            name = name.with_name(name.name.replace(*rename))
        for candidate in (folder / name, folder / name.name):
            if candidate.is_file():
                return candidate
        return None

    def score(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> CaseScores:
        """Score the case's prediction in ``folder``; a missing one by the declared rule.

        Raises:
            MedbenchError: as :meth:`score_file`.
        """
        path = self.locate(case, folder, rename)
        if path is None:
            reason = f"no prediction {self.prediction_name(case)}"
            return self.score_failed(case, "missing", reason)
        return self.score_file(case, path)

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """How the metric is computed from weighted cases; pooled metrics are the challenge's to override."""
        return mean_statistic(metric, rows)

    def rank(self, entries: Mapping[str, Sequence[CaseRow]]) -> Sequence[Standing]:
        """Entries in the challenge's own ranking, best first; none where it has no scheme beyond its columns.

        Args:
            entries: name -> its rows, all of the same cases.

        Raises:
            MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
        """
        return []

    def published(self) -> list[dict[str, Any]]:
        """Published results with their sources, from ``published.toml`` in the challenge's room."""
        path = Path(inspect.getfile(type(self))).parent / "published.toml"
        if not path.exists():
            return []
        with open(path, "rb") as stream:
            results = tomllib.load(stream)["result"]
        return [result for result in results if result.get("challenge", self.name) == self.name]

    def layout_error(self, root: Path, expected: Iterable[str]) -> MedbenchError:
        """The error for a folder that holds none of the known layouts."""
        looked = ", ".join(expected)
        return MedbenchError(
            "data.layout_unknown",
            f"{root}: holds no {self.title} data (looked for {looked}).",
            self.data_hint,
        )
