"""Images of submissions as models: one started a case, with the folders of the platform it was built for."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction, Sample, VolumeSample
from medbench.core.text import agreeing, counted
from medbench.inference.predictor import Predictor
from medbench.inference.programs import ENGINES, ProgramPredictor
from medbench.io import images
from medbench.io.gate.expected import handed_in
from medbench.models.local.program_module import Program
from medbench.submissions.build.dockerfile import APP
from medbench.submissions.containers.engines import Engine
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.containers.users import container_user
from medbench.submissions.description import Submission
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.base import Trial
from medbench.submissions.rehearse.staging import make_readable
from medbench.submissions.serving.session import MANIFEST

if TYPE_CHECKING:
    from medbench.inference.build import PredictorSettings

OWN_LABEL = "medbench.challenge"
RUN_OPTIONS: tuple[str, ...] = ()
"""Further options of ``run``, e.g. a folder of packages that an image without them needs."""


def image_predictor(network: Program, settings: PredictorSettings) -> Predictor:
    """The predictor of an image: by its platform's folders where medbench built it, else by plain ones.

    Raises:
        MedbenchError: ``engine.missing``, ``model.image`` for an image that is not here or has no weights.
    """
    engine, image = _engine(), network.model.target
    facts = engine.call("image", "inspect", image, what=f"find {image}; medbench pulls none")
    labels = (json.loads(facts)[0].get("Config") or {}).get("Labels") or {}
    if OWN_LABEL not in labels:
        return ProgramPredictor(network)
    program = f"print(open('{APP}/{MANIFEST}').read())"
    options = ("run", "--rm", "--pull=never", "--network", "none", "--entrypoint", "python")
    manifest = json.loads(engine.call(*options, image, "-c", program, what=f"read the manifest of {image}"))
    submission = Submission.model_validate(manifest["submission"])
    if submission.weights.delivery == "mounted" and manifest["weights_sha256"] is not None:
        raise MedbenchError(
            "model.image",
            f"{network.model.name}: its weights are mounted apart and not in the image.",
            'Build it with delivery = "baked".',
        )
    return ImagePredictor(network, engine, submission)


def _engine() -> Engine:
    program = next(((name, path) for name in ENGINES if (path := shutil.which(name))), None)
    if program is None:
        raise MedbenchError(
            "engine.missing", "-m docker:… needs podman or docker.", "Install one, or use -m command:…."
        )
    return Engine(*program)


class ImagePredictor:
    """A predictor that starts a submission's image once a case, as its platform does.

    Args:
        program: the image.
        engine: podman or docker.
        submission: what the image was built from.

    Raises:
        MedbenchError: ``model.image`` for other classes than the challenge demands.
    """

    def __init__(self, program: Program, engine: Engine, submission: Submission) -> None:
        self.program, self.engine, self.submission = program, engine, submission
        self.platform = load_platform(submission.platform)
        self.challenge = load_challenge(submission.challenge)
        self.time_s: dict[str, float] = defaultdict(float)
        values = list(self.challenge.card.labels)
        if len(values) != program.num_classes:
            raise MedbenchError(
                "model.image",
                f"{self.name}: was built for {self.challenge.title} with {counted(len(values), 'label')}, "
                f"and {program.num_classes} {agreeing(program.num_classes, 'is', 'are')} demanded.",
                "Use an image that was built for these labels.",
            )
        self.values = np.array(values)

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return self.program.model.name

    def predict(self, sample: Sample | VolumeSample) -> Prediction:
        """The image's label map of a case.

        Raises:
            MedbenchError: ``program.failed`` with its last line, ``program.nothing``,
                ``program.too_much``, ``program.answer`` for one of another size or with other values, and
                what the gate refuses.
        """
        if sample.demands != frozenset({"label_map"}) or not self.platform.takes(sample.case, sample):
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {self.platform.title} answers label maps alone.",
                "Use -m command:… for other answers.",
            )
        with tempfile.TemporaryDirectory(prefix="medbench-") as place:
            root, begin_s = Path(place), time.perf_counter()
            runner = self._staged(sample, root)
            stage_s = time.perf_counter()
            arguments = self.platform.variants(self.submission)[0].arguments
            outcome = runner.run(arguments, self.platform.limits.time_s)
            end_s = time.perf_counter()
            if not outcome.ok:
                raise MedbenchError(
                    "program.failed",
                    f"{self.name}: ended with code {outcome.code}: {outcome.last_line or 'no message'}",
                    "Rehearse the submission: medbench submit rehearse.",
                )
            labels = self._read(sample, root)
            self.time_s["preprocess"] += stage_s - begin_s
            self.time_s["forward"] += end_s - stage_s
            self.time_s["postprocess"] += time.perf_counter() - end_s
        return Prediction({"label_map": labels})

    def _staged(self, sample: Sample | VolumeSample, root: Path) -> ImageRunner:
        for mount in self.platform.mounts:
            (root / mount.path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        (root / "tmp").mkdir(exist_ok=True)
        trial = Trial(sample.case, sample, root)
        self.platform.stage(self.submission, self.challenge, [trial], root, 0)
        make_readable(root)
        limits = self.platform.limits.with_phase(self.submission.limits)
        user = container_user(self.platform.runs_as[0], self.engine.name)
        target = self.program.model.target
        runner = ImageRunner(self.engine, target, root, self.platform.mounts, limits, RUN_OPTIONS, user)
        for mount in self.platform.mounts:
            if mount.writable:
                runner.hand_over(root / mount.path.lstrip("/"))
        return runner

    def _read(self, sample: Sample | VolumeSample, root: Path) -> npt.NDArray[np.uint8]:
        folders = [root / mount.path.lstrip("/") for mount in self.platform.mounts if mount.role == "output"]
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if not path.is_dir()]
        if len(files) != 1:
            raise MedbenchError(
                "program.nothing" if not files else "program.too_much",
                f"{self.name}: wrote {counted(len(files), 'file')}, expected one label map.",
                "Rehearse the submission: medbench submit rehearse.",
            )
        shape = sample.volumes.shape[1:] if isinstance(sample, VolumeSample) else sample.images.shape[1:3]
        labels = np.squeeze(images.read_labels(files[0], root=root, expected=handed_in(shape)).array)
        if labels.shape != tuple(side for side in shape if side != 1):
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {files[0].name} has the size {labels.shape}, its image {shape}.",
                "Write answers at the size of the image.",
            )
        indices: Any = np.searchsorted(self.values, labels).clip(0, len(self.values) - 1)
        if not np.array_equal(self.values[indices], labels):
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {files[0].name} holds values that are no label of {self.challenge.title}.",
                "Rehearse the submission: medbench submit rehearse.",
            )
        answer = indices.astype(np.uint8).reshape(shape)
        return answer if isinstance(sample, VolumeSample) else answer[np.newaxis]
