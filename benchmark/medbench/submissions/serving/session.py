"""A submission while it predicts: its manifest, weights and predictor, and a log line for every case."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.core.machine import keep_freed_memory
from medbench.core.plugins import load_copied_plugins
from medbench.core.project import PROJECT_FILE, use_project
from medbench.core.sample import AnySample, Prediction
from medbench.core.text import counted
from medbench.inference.predictor import Predictor
from medbench.submissions.description import Submission
from medbench.submissions.serving.outcome import explain

if TYPE_CHECKING:
    from medbench.running.setup import Setup

MANIFEST = "submission.json"
FACTS = "evaluation.json"
WEIGHTS = "weights.pt"
PLUGINS = "plugins"
MODELS = "models"
CASE_LINE = "medbench-case "
ROOT = "MEDBENCH_ROOT"
MOST_THREADS = 16


@dataclass(slots=True)
class Roots:
    """Paths of the container's folders: absolute in a container, below another folder in a rehearsal."""

    prefix: Path = field(default_factory=lambda: Path(os.environ.get(ROOT, "/")))

    def __call__(self, path: str) -> Path:
        """Path of a folder or file of the container."""
        return self.prefix / path.lstrip("/")


class Session:
    """Manifest, weights and predictor of a submission while it serves cases.

    Args:
        app: folder with the manifest and, if baked, the weights.
        roots: paths of the container's folders.
    """

    def __init__(self, app: Path, roots: Roots | None = None) -> None:
        self.app = app
        self.roots = roots or Roots()
        load_copied_plugins(app / PLUGINS)
        if (app / PROJECT_FILE).is_file():
            use_project(app / PROJECT_FILE)
        _keep_exported(app / MODELS)
        self.manifest: dict[str, Any] = read_json(app / MANIFEST)
        self.submission = Submission.model_validate(self.manifest["submission"])
        self.model_folders: list[Path] = []

    @functools.cached_property
    def challenge(self) -> Challenge:
        """The challenge."""
        return load_challenge(self.submission.challenge)

    @functools.cached_property
    def setup(self) -> Setup:
        """The network with its weights and settings, on CUDA where there is one, else on the CPU.

        Raises:
            MedbenchError: ``weights.missing`` or ``weights.other``, or as :meth:`Request.plan`.
        """
        from medbench.running.request import Inference, Request
        from medbench.running.setup import Setup
        from medbench.running.weights import Weights, read_weights

        path, submission = self.weights(), self.submission
        request = Request(
            model=submission.model,
            challenge=submission.challenge,
            weights="none" if path is None else str(path),
            options=dict(submission.options),
            inference=Inference(force_precision=True, **submission.inference.model_dump()),
            seed=self.manifest["seed"],
        )
        weights = Weights() if path is None else read_weights(path, verify=self._verify)
        return Setup.of(request.plan(), weights)

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The same predictor as that of ``medbench run``.

        Raises:
            MedbenchError: as :attr:`setup`, or as :meth:`Setup.predictor`.
        """
        import torch

        keep_freed_memory()
        torch.set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
        return self.setup.predictor()

    def weights(self) -> Path | None:
        """The weights: mounted weights before baked weights; ``None`` when the submission has none.

        Raises:
            MedbenchError: ``weights.missing``.
        """
        if self.manifest["weights_sha256"] is None:
            return None
        places = [folder / WEIGHTS for folder in (*self.model_folders, self.app / "model")]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            searches = " and ".join(str(place) for place in places)
            raise MedbenchError(
                "weights.missing",
                f"The weights are missing (looked for {searches}).",
                "Attach model.tar.gz.",
            )
        return path

    def _verify(self, sha256: str) -> None:
        due = self.manifest["weights_sha256"]
        if sha256 != due:
            raise MedbenchError(
                "weights.other",
                f"{self.weights()}: are not the weights that this submission was built for.",
                f"Attach the model.tar.gz of the same build (sha256 {due[:12]}…).",
            )

    def read(self, case: Case) -> AnySample:
        """The sample of a case: the images or features that the network may see.

        Raises:
            MedbenchError: as the challenge's own reading.
        """
        return self.setup.read(case)

    def predict(self, sample: AnySample) -> Prediction:
        """The prediction for one case."""
        return self.predictor.predict(sample)

    @contextlib.contextmanager
    def timed(self, case: str) -> Iterator[None]:
        """Log time and peak memory of a case as one line of standard error."""
        begin_s = time.perf_counter()
        yield
        line = {"case": case, "time_s": round(time.perf_counter() - begin_s, 4), "peak_bytes": peak_bytes()}
        sys.stderr.write(CASE_LINE + json.dumps(line) + "\n")
        sys.stderr.flush()

    def every(self, cases: Iterable[tuple[str, Callable[[], None]]]) -> None:
        """Predict all cases; a case that fails does not stop the others.

        Raises:
            MedbenchError: ``cases.failed`` with the first reason, ``input.empty`` when there is no case.
        """
        reasons: dict[str, str] = {}
        count = 0
        for name, action in cases:
            count += 1
            try:
                with self.timed(name):
                    action()
            except Exception as failure:  # noqa: BLE001 - one bad case never loses the others
                reasons[name] = explain(failure)
                sys.stderr.write(f"{name}: {reasons[name]}\n")
        if not count:
            raise MedbenchError("input.empty", "The input folder holds no case.", "Check what is mounted.")
        if reasons:
            name, reason = next(iter(reasons.items()))
            raise MedbenchError(
                "cases.failed",
                f"{len(reasons)} of {counted(count, 'case')} failed, first {name}: "
                f"{reason.removeprefix('error: ')}",
                "The lines above name every failed case; the outputs of the others are written.",
            )


def _keep_exported(folder: Path) -> None:
    """Take the exported networks of a container by name; evaluation programs hold no models."""
    if folder.is_dir():
        from medbench.models.local.names import keep_exported

        keep_exported(folder)


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
