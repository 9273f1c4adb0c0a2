"""The predictor of programs: a command or container gets a folder of files and leaves one of answers.

A case's image is ``<case>.png`` (several images: ``<case>_000.png`` …); a volume is ``<case>_0000.nii.gz`` …,
one file a modality, as nnU-Net names them. The answer is ``<case>.png`` or ``<case>.nii.gz`` with class
indices, the background 0, or ``<case>.csv`` with the names of the classes and a row of probabilities.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction, Sample, VolumeSample
from medbench.core.text import counted, named
from medbench.io import images, nifti_mha, raster
from medbench.io.gate.expected import handed_in
from medbench.io.tables import read_lines
from medbench.models.local.program_module import Program

if TYPE_CHECKING:
    from medbench.inference.build import PredictorSettings

TIME_S = 600.0
ENGINES = ("podman", "docker")
MOST_NAMED = 3


def program_predictor(network: Program, settings: PredictorSettings) -> ProgramPredictor:
    """The predictor of a command or an image."""
    return ProgramPredictor(network)


class ProgramPredictor:
    """A predictor that calls a program once a case.

    Args:
        program: the image or the command.
        time_s: longest time of a call.
    """

    def __init__(self, program: Program, time_s: float = TIME_S) -> None:
        self.program, self.longest_s = program, time_s
        self.time_s: dict[str, float] = defaultdict(float)

    @property
    def name(self) -> str:
        """Name of the program in messages."""
        return self.program.model.name

    def predict(self, sample: Sample | VolumeSample) -> Prediction:
        """The program's answer to a case.

        Raises:
            MedbenchError: ``program.failed`` with its last line, ``program.time``, ``program.nothing``,
                ``program.too_much``, ``program.answer`` for one of another size or with other classes, and
                what the gate refuses.
        """
        with tempfile.TemporaryDirectory(prefix="medbench-") as place:
            source, target = Path(place) / "input", Path(place) / "output"
            source.mkdir()
            target.mkdir(mode=0o777)
            target.chmod(0o777)
            begin_s = time.perf_counter()
            names = _write_inputs(sample, source)
            write_s = time.perf_counter()
            self._call(source, target)
            call_s = time.perf_counter()
            answer = self._read(sample, target, names)
            self.time_s["preprocess"] += write_s - begin_s
            self.time_s["forward"] += call_s - write_s
            self.time_s["postprocess"] += time.perf_counter() - call_s
        return Prediction({next(iter(sample.demands)): answer})

    def _call(self, source: Path, target: Path) -> None:
        model = self.program.model
        if model.kind == "docker":
            command = _container(model.target, source, target)
        else:
            command = [
                word.replace("{input}", str(source)).replace("{output}", str(target))
                for word in shlex.split(model.target)
            ]
        try:
            process = subprocess.run(command, capture_output=True, timeout=self.longest_s, check=False)
        except subprocess.TimeoutExpired as late:
            raise MedbenchError(
                "program.time", f"{self.name}: did not end within {self.longest_s:g} s.", "Speed it up."
            ) from late
        except OSError as error:
            raise MedbenchError(
                "program.failed", f"{self.name}: cannot be started ({error.strerror}).", "Check the command."
            ) from error
        if process.returncode:
            lines = [line for line in process.stderr.decode(errors="replace").splitlines() if line.strip()]
            raise MedbenchError(
                "program.failed",
                f"{self.name}: ended with code {process.returncode}: "
                f"{lines[-1].strip() if lines else 'no message'}.",
                "Call it by hand on a folder of images.",
            )

    def _read(self, sample: Sample | VolumeSample, target: Path, names: Sequence[str]) -> Any:
        present = sorted(
            path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()
        )
        missing = [name for name in names if name not in present]
        excess = [name for name in present if name not in names]
        if missing:
            answers_text = f"only {named(excess, MOST_NAMED)}" if excess else "nothing"
            raise MedbenchError(
                "program.nothing",
                f"{self.name}: wrote {answers_text}, not {missing[0]}.",
                "Write one answer an image.",
            )
        if excess:
            raise MedbenchError(
                "program.too_much",
                f"{self.name}: wrote {counted(len(excess), 'file')} too many: {named(excess, MOST_NAMED)}.",
                "Write the answers alone.",
            )
        if "image_classes" in sample.demands:
            return np.stack([self._probabilities(target / name, target) for name in names])
        if isinstance(sample, VolumeSample):
            return self._labels(target / names[0], target, sample.volumes.shape[1:])
        return np.stack([self._labels(target / name, target, sample.images.shape[1:3]) for name in names])

    def _labels(self, path: Path, root: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        labels = images.read_labels(path, root=root, expected=handed_in(shape)).array
        if labels.shape != shape:
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {path.name} has the size {labels.shape}, its image {shape}.",
                "Write answers at the size of the image.",
            )
        if int(labels.min(initial=0)) < 0 or int(labels.max(initial=0)) >= self.program.num_classes:
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {path.name} holds {int(labels.max())}; "
                f"classes are 0 to {self.program.num_classes - 1}.",
                "Write class indices, the background 0.",
            )
        return labels.astype(np.uint8)

    def _probabilities(self, path: Path, root: Path) -> npt.NDArray[np.float32]:
        rows = read_lines(path, expected=handed_in((self.program.num_classes, 64)))
        try:
            values = np.array([float(cell) for cell in rows[1][1]], np.float32)
        except (IndexError, ValueError):
            values = np.zeros(0, np.float32)
        if len(rows) != 2 or values.shape != (self.program.num_classes,) or not np.isfinite(values).all():
            raise MedbenchError(
                "program.answer",
                f"{self.name}: {path.name} is no header and one row of {self.program.num_classes} numbers.",
                "Write the classes' names, and below them their probabilities.",
            )
        return values


def _write_inputs(sample: Sample | VolumeSample, folder: Path) -> list[str]:
    """Write a case's files; the names of the answers that the program must write."""
    case = re.sub(r"[^\w.-]+", "_", sample.case.id)
    if isinstance(sample, VolumeSample):
        for index, present in enumerate(sample.present):
            if present:
                volume = Volume(sample.volumes[index], sample.spacing_mm)
                nifti_mha.write_volume(folder / f"{case}_{index:04}.nii.gz", volume)
        return [f"{case}.nii.gz"]
    if sample.images.dtype != np.uint8:
        raise MedbenchError(
            "program.values",
            f"{sample.case.id}: holds {sample.images.dtype} values, and programs get 8-bit images.",
            "Use a network, or 8-bit data.",
        )
    count = len(sample.images)
    names = [case if count == 1 else f"{case}_{index:03}" for index in range(count)]
    for name, image in zip(names, sample.images, strict=True):
        raster.write_image(folder / f"{name}.png", image[..., 0] if image.shape[2] == 1 else image)
    ending = ".csv" if "image_classes" in sample.demands else ".png"
    return [f"{name}{ending}" for name in names]


def _container(image: str, source: Path, target: Path) -> list[str]:
    """The call of an image: no network, read-only but for its output and ``/tmp``, no privileges."""
    engine = next((path for name in ENGINES if (path := shutil.which(name))), None)
    if engine is None:
        raise MedbenchError(
            "engine.missing", "-m docker:… needs podman or docker.", "Install one, or use -m command:…."
        )
    return [
        engine, "run", "--rm", "--pull=never", "--network", "none", "--read-only", "--tmpfs", "/tmp",  # noqa: S108
        "--cap-drop", "all", "--security-opt", "no-new-privileges",
        "--volume", f"{source}:/input:ro", "--volume", f"{target}:/output", image,
    ]  # fmt: skip
