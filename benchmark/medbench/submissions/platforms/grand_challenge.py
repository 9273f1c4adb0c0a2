"""grand-challenge.org algorithms: one image that serves both ways of being run.

``exec`` starts the container for every case; ``invoke`` starts it once and calls it over HTTP.
Sources: DIAGNijmegen/demo-challenge-pack@7e684e4, DIAGNijmegen/rse-grand-challenge-forge@306db6e,
DIAGNijmegen/rse-sagemaker-shim@b20f0a7, comic/grand-challenge.org@9957bfc.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.core.sample import AnySample, Sample
from medbench.io import images, nifti_mha
from medbench.submissions.description import GIGABYTE, Interface, Socket, Submission
from medbench.submissions.findings import Finding, error
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import ImageRules, Mount, Platform, SavedArchive, Trial, Variant
from medbench.submissions.platforms.outputs import compare_labels, output_file
from medbench.submissions.serving import image_files
from medbench.submissions.serving.image_files import SUFFIXES
from medbench.submissions.serving.outcome import publishing, require_writable
from medbench.submissions.serving.server import serve_jobs

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge
    from medbench.submissions.serving.session import Session

METHOD_LABEL = "org.grand-challenge.api-method"
INPUTS = "inputs.json"
IMAGE_RULES = ImageRules(
    distinct=True,
    reserved_paths=("/input", "/output", "/tmp", "/opt/ml"),  # noqa: S108 - a rule, not a use
    reserved_variables=("GRAND_CHALLENGE_",),
)
LIMITS = Limits(
    time_s=3600,
    memory_bytes=16 * GIGABYTE,
    processes=128,
    image_bytes=10 * GIGABYTE,
    upload_bytes=128 << 30,
    unverified_upload_bytes=2 << 30,
)
"""Of the settings of comic/grand-challenge.org@9957bfc (2025-11): processes of its docker backend, uploads of
a verified and of an unverified account."""

SOCKETS = {"psfhs": ("pelvic-2d-ultrasound", "symphysis-segmentation")}


class GrandChallenge(Platform):
    """An algorithm on grand-challenge.org."""

    name = "grand-challenge"
    title = "grand-challenge.org algorithm"
    challenges = ("psfhs", "myops*")
    per_case = True
    mounts = (
        Mount("/input", "input"),
        Mount("/output", "output", True),
        Mount("/opt/ml/model", "model"),
        Mount("/tmp", "scratch", True),  # noqa: S108 - the platform's own folder
    )
    model_folder = "/opt/ml/model"
    limits = LIMITS
    rules = IMAGE_RULES
    known_labels = (METHOD_LABEL,)
    method_line = 'method = "exec"            # or "invoke", by the label; the image serves both\n'
    source = "demo-challenge-pack@7e684e4, grand-challenge.org@9957bfc"

    def check(self, submission: Submission) -> Iterator[Finding]:
        """Sockets are needed, and all image inputs of an interface are read in the same way."""
        if not submission.interfaces:
            yield error(
                "submission.interfaces",
                "The phase's sockets are not given.",
                "Add [[interfaces]] with the slugs and paths that the phase's page lists.",
            )
        for interface in submission.interfaces:
            have_names = {bool(socket.name) for socket in interface.inputs if socket.kind == "image"}
            if len(have_names) != 1 or (have_names == {False} and len(_images(interface.inputs)) > 1):
                yield error(
                    "submission.interfaces",
                    f"Interface {', '.join(interface.key)}: one image, or named image inputs, are needed.",
                    "Give each image socket the 'name' of the challenge's input, or have one without a name.",
                )

    def template(self, challenge: Challenge) -> str:
        """The sockets of a known phase, or an image and its labels to be renamed."""
        source, result = SOCKETS.get(challenge.name, ("medical-image", "segmentation"))
        inputs = [f'slug = "{source}"\npath = "images/{source}"\n']
        if challenge.card.modalities:
            inputs = [
                f'slug = "{name}"\npath = "images/{name}"\nname = "{name}"  # in medbench\n'
                for name in challenge.card.modalities
            ]
        return (
            "# Copy slugs and paths from the phase's page; a second [[interfaces]] serves another phase.\n"
            "[[interfaces]]\n"
            + "".join(f"[[interfaces.inputs]]\n{text}" for text in inputs)
            + f'[[interfaces.outputs]]\nslug = "{result}"\npath = "images/{result}"\n'
        )

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform accepts the case: it predicts one image or volume per job."""
        return super().takes(case, sample) and (not isinstance(sample, Sample) or len(sample.images) == 1)

    def default_arguments(self, submission: Submission) -> Sequence[str]:
        """The method; the platform reads it from the image's label and passes no argument."""
        return (submission.method,)

    def image_labels(self, submission: Submission) -> Mapping[str, str]:
        """The label of the method; without a label the platform uses exec."""
        return {METHOD_LABEL: "invoke"} if submission.method == "invoke" else {}

    def app_files(self, submission: Submission) -> Mapping[str, str]:
        """The entry script of the server, as in the platform's starter kit."""
        return {"app.py": _APP}

    def variants(self, submission: Submission) -> Sequence[Variant]:
        """Calls by both methods, whatever the label."""
        return (Variant("exec", ("exec",)), Variant("invoke", ("invoke",), serve=True))

    def serve(self, session: Session, arguments: Sequence[str]) -> None:
        """Predict ``/input`` once (exec), or serve jobs over HTTP (invoke)."""
        session.model_folders.append(session.roots(self.model_folder or ""))
        method = arguments[0] if arguments else session.submission.method
        if method == "invoke":
            serve_jobs(lambda: session.predictor, lambda: predict_inputs(session))
        else:
            predict_inputs(session)

    def stage(
        self,
        submission: Submission,
        challenge: Challenge,
        cases: Sequence[Trial],
        root: Path,
        number: int,
    ) -> None:
        """Copy a case's inputs with ``inputs.json`` of 2026, of 2025, or without one, in turn."""
        (trial,) = cases
        interface = submission.interfaces[number % len(submission.interfaces)]
        style = ("socket", "interface", None)[
            number % 3 if _images(interface.inputs) == interface.inputs else 0
        ]
        entries = []
        for socket in interface.inputs:
            entry = _entry(socket, style or "socket")
            target = root / "input" / socket.path
            if socket.kind == "image":
                name = f"{uuid.uuid5(uuid.NAMESPACE_OID, trial.case.id + socket.slug)}.mha"
                _stage_image(trial, socket, target / name, planes=number % 2 == 1)
                entry["image"] = {"name": f"{Path(trial.case.id).name}.mha"}
            else:
                write_json(target, {})
                entry["value"] = {}
            entries.append(entry)
        if style is not None:
            write_json(root / "input" / INPUTS, entries)

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare the label map with that of ``medbench run``, on the input's grid."""
        candidates = (
            one
            for one in submission.interfaces
            if all((root / "input" / s.path).exists() for s in one.inputs)
        )
        interface = next(candidates)
        output = output_file(root / "output" / interface.outputs[0].path, SUFFIXES, case.case.id)
        if isinstance(output, Finding):
            yield output
            return
        first = _images(interface.inputs)[0]
        source = image_files.only_file(root / "input" / first.path, SUFFIXES)
        grid = nifti_mha.read_volume(source) if first.name else image_files.read_image(source)[1]
        yield from compare_labels(images.read_labels(case.expected).array, output, case.case.id, grid)

    def steps(self, submission: Submission, archive: SavedArchive) -> Sequence[str]:
        """Steps that upload an image and, if the weights are mounted, a model."""
        label = "with" if submission.method == "invoke" else "without"
        model = ["On its page choose Models, upload model.tar.gz, and make it the active model."]
        return (
            "On the challenge's page open Submit, and create an algorithm for the phase: it has the sockets.",
            f"On the algorithm's page choose Containers and upload {archive.path} "
            f"({label} the label {METHOD_LABEL}=invoke).",
            *(model if submission.weights.delivery == "mounted" else []),
            "Wait until the container is 'active', and try it out with one case of the training set.",
            "Hand in the algorithm under Submit; compare the time and the outputs with the report.",
        )


_APP = '''"""The server of the invoke interface; inference.py does one pass of the exec interface."""

import sys

from inference import main

if __name__ == "__main__":
    sys.exit(main(["invoke"]))
'''


def predict_inputs(session: Session) -> None:
    """Predict what lies in ``/input`` and publish the outputs.

    Raises:
        MedbenchError: ``output.unwritable``, and for input that is missing, of another kind, or damaged.
    """
    require_writable(session.roots("/output"))
    submission, paths = session.submission, read_inputs(session.roots("/input"))
    if paths is not None:
        interface = _interface(submission.interfaces, tuple(sorted(paths)))
        sockets = [socket.model_copy(update={"path": paths[socket.slug]}) for socket in interface.inputs]
        _predict_job(session, sockets, interface.outputs[0])
        return
    interface = submission.interfaces[0]
    folder = session.roots("/input") / _images(interface.inputs)[0].path
    files = image_files.image_files(folder, SUFFIXES)
    if len(interface.inputs) > 1 or not files:
        _predict_job(session, interface.inputs, interface.outputs[0])
        return
    session.every(
        (
            path.stem,
            functools.partial(_predict_image, session, path, interface.inputs[0].size, interface.outputs[0]),
        )
        for path in files
    )


def read_inputs(folder: Path) -> dict[str, str] | None:
    """Slug -> path below ``/input`` from ``inputs.json``; ``None`` where there is no such file.

    Understands ``socket`` (2026) and ``interface`` (2025) as names of a socket's description.

    Raises:
        MedbenchError: ``input.inputs_json``.
    """
    path = folder / INPUTS
    if not path.exists():
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        sockets = [entry.get("socket") or entry["interface"] for entry in entries]
        return {socket["slug"]: str(socket["relative_path"]).strip("/") for socket in sockets}
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise MedbenchError(
            "input.inputs_json",
            f"{path}: is not the platform's list of inputs ({type(failure).__name__}: {failure}).",
            "Hand in the job again.",
        ) from failure


def _interface(interfaces: Sequence[Interface], key: tuple[str, ...]) -> Interface:
    for interface in interfaces:
        if interface.key == key:
            return interface
    names = " or ".join(", ".join(interface.key) for interface in interfaces)
    raise MedbenchError(
        "input.interface",
        f"The job has the inputs {', '.join(key) or 'none'}; this algorithm serves {names}.",
        "Choose the algorithm's interface for the phase, or build it with this phase's sockets.",
    )


def _predict_job(session: Session, inputs: Sequence[Socket], output: Socket) -> None:
    folder = session.roots("/input")
    for socket in inputs:
        if socket.kind != "image":
            _check_value(folder / socket.path, socket)
    files = {socket: image_files.only_file(folder / socket.path, SUFFIXES) for socket in _images(inputs)}
    first, path = next(iter(files.items()))
    with session.timed(path.stem):
        if not first.name:
            _predict_image(session, path, first.size, output)
            return
        case = Case(path.stem, {socket.name: file for socket, file in files.items()})
        prediction = session.predict(session.read(case))
        with publishing(session.roots("/output")) as staging, tempfile.TemporaryDirectory() as own:
            labels = images.read_labels(session.challenge.write(prediction, case, Path(own))).array
            target = staging / output.path / f"{path.stem}.mha"
            image_files.write_labels(target, labels, nifti_mha.read_volume(path))


def _predict_image(session: Session, path: Path, size: tuple[int, int] | None, output: Socket) -> None:
    pixels, grid = image_files.read_image(path, size)
    sample = Sample(Case(path.stem, {"image": path}), pixels)
    labels = session.predict(sample)["label_map"]
    assert labels is not None
    with publishing(session.roots("/output")) as staging:
        image_files.write_labels(staging / output.path / f"{path.stem}.mha", labels[0], grid)


def _check_value(path: Path, socket: Socket) -> None:
    if not path.is_file():
        raise MedbenchError("input.missing", f"{path}: is missing.", f"The input {socket.slug} is due.")
    if socket.kind == "json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as failure:
            raise MedbenchError(
                "input.json", f"{path}: is no JSON ({failure}).", f"Correct the input {socket.slug}."
            ) from failure


def _images(sockets: Sequence[Socket]) -> tuple[Socket, ...]:
    return tuple(socket for socket in sockets if socket.kind == "image")


def _entry(socket: Socket, style: str) -> dict[str, Any]:
    description = {"slug": socket.slug, "relative_path": socket.path}
    if style == "socket":
        kinds = {f"is_{kind}_kind": socket.kind == kind for kind in ("image", "json", "file")}
        return {"file": None, "image": None, "value": None, "socket": {**description, **kinds}}
    kind = {"image": "Image", "json": "Anything", "file": "Text file"}[socket.kind]
    description |= {"kind": kind, "super_kind": socket.kind.title()}
    return {"file": None, "image": None, "value": None, "interface": description}


def _stage_image(trial: Trial, socket: Socket, target: Path, *, planes: bool) -> None:
    import SimpleITK

    target.parent.mkdir(parents=True, exist_ok=True)
    source = trial.case.inputs.get(socket.name) if socket.name else None
    files = list(trial.case.inputs.values())
    if source is None and socket.name:
        raise MedbenchError(
            "submission.interfaces",
            f"{trial.case.id}: has no input '{socket.name}' for {socket.slug}.",
            f"Its inputs: {', '.join(trial.case.inputs)}.",
        )
    if source is None and len(files) == 1 and images.suffix_of(files[0]) == ".mha":
        source = files[0]
    if source is not None and images.suffix_of(source) == ".mha":
        shutil.copyfile(source, target)
        return
    if source is not None:
        volume = images.read_volume(source)
        image = SimpleITK.GetImageFromArray(volume.array)
        if volume.spacing and volume.origin and volume.direction:
            image.SetSpacing(volume.spacing[::-1])
            image.SetOrigin(volume.origin[::-1])
            image.SetDirection(volume.direction)
    else:
        assert isinstance(trial.sample, Sample)
        pixels = trial.sample.images[0]
        if planes and pixels.shape[-1] == 3:
            image = SimpleITK.GetImageFromArray(np.moveaxis(pixels, -1, 0))
            image.SetSpacing((0.3, 0.4, 1.0))
        elif pixels.shape[-1] == 1:
            image = SimpleITK.GetImageFromArray(pixels[..., 0])
            image.SetSpacing((0.3, 0.4))
        else:
            image = SimpleITK.GetImageFromArray(pixels, isVector=True)
            image.SetSpacing((0.3, 0.4))
    SimpleITK.WriteImage(image, str(target), useCompression=True)
