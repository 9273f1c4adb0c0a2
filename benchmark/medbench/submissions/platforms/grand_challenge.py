"""grand-challenge.org algorithms: one image that serves both ways of being run.

``exec`` starts the container for every case; ``invoke`` starts it once and calls it over HTTP.
Sources: DIAGNijmegen/demo-challenge-pack@7e684e4, DIAGNijmegen/rse-grand-challenge-forge@306db6e,
DIAGNijmegen/rse-sagemaker-shim@b20f0a7, comic/grand-challenge.org@9957bfc.
"""

from __future__ import annotations

import functools
import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medbench.challenges import load_challenge
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
from medbench.submissions.platforms.socket_inputs import image_sockets, input_entry, stage_image
from medbench.submissions.platforms.socket_values import (
    EXAMPLES,
    VALUES,
    Context,
    check_output,
    compare_values,
    is_json,
    json_value,
    read_json_value,
    task_of,
    tasks_of,
)
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
    reads_any = True
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
        challenge = load_challenge(submission.challenge)
        for interface in submission.interfaces:
            for socket in interface.outputs:
                yield from check_output(socket, challenge)
            have_names = {bool(socket.name) for socket in interface.inputs if socket.kind == "image"}
            if len(have_names) != 1 or (have_names == {False} and len(image_sockets(interface.inputs)) > 1):
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
            + "".join(f"[[interfaces.outputs]]\n{text}" for text in _output_templates(challenge, result))
        )

    def takes(self, case: Case, sample: AnySample) -> bool:
        """Whether the platform accepts the case: it predicts one image or volume per job."""
        tasks = {task for value in VALUES.values() for task in value.tasks}
        return sample.demands <= tasks and (not isinstance(sample, Sample) or len(sample.images) == 1)

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
            number % 3 if image_sockets(interface.inputs) == interface.inputs else 0
        ]
        entries = []
        for socket in interface.inputs:
            entry = input_entry(socket, style or "socket")
            target = root / "input" / socket.path
            if socket.kind == "image":
                name = f"{uuid.uuid5(uuid.NAMESPACE_OID, trial.case.id + socket.slug)}.mha"
                stage_image(trial, socket, target / name, planes=number % 2 == 1)
                entry["image"] = {"name": f"{Path(trial.case.id).name}.mha"}
            else:
                write_json(target, EXAMPLES.get(socket.kind, {}))
                entry["value"] = EXAMPLES.get(socket.kind, {})
            entries.append(entry)
        if style is not None:
            write_json(root / "input" / INPUTS, entries)

    def examine(
        self, submission: Submission, challenge: Challenge, case: Trial, root: Path
    ) -> Iterable[Finding]:
        """Compare the label map, on the input's grid, and the values with those of ``medbench run``.

        Values of a task that the case's prediction file does not hold are checked for their kind alone.
        """
        candidates = (
            one
            for one in submission.interfaces
            if all((root / "input" / s.path).exists() for s in one.inputs)
        )
        interface = next(candidates)
        first = image_sockets(interface.inputs)[0]
        source = image_files.only_file(root / "input" / first.path, SUFFIXES)
        grid = nifti_mha.read_volume(source) if first.name else image_files.read_image(source)[1]
        own = Context(challenge, _expected(challenge, case), grid)
        for socket in interface.outputs:
            place = root / "output" / socket.path
            if socket.kind != "image":
                has_answer = task_of(socket, challenge) in own.answers
                due = json_value(socket, own) if has_answer else ...
                yield from compare_values(due, place, socket, case.case.id)
                continue
            output = output_file(place, SUFFIXES, case.case.id)
            if isinstance(output, Finding):
                yield output
            else:
                yield from compare_labels(own.answers["label_map"], output, case.case.id, grid)

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


def _output_templates(challenge: Challenge, result: str) -> list[str]:
    """Output sockets of a new file: the label map, else a JSON value of each task that is demanded."""
    if "label_map" in challenge.card.demands:
        return [f'slug = "{result}"\npath = "images/{result}"\n']
    kinds = {"image_classes": "json", "boxes": "bounding_boxes", "landmarks": "points"}
    return [
        f'slug = "{task.replace("_", "-")}"\npath = "{task.replace("_", "-")}.json"\nkind = "{kinds[task]}"\n'
        for task in challenge.card.demands
        if task in kinds
    ]


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
        _predict_job(session, sockets, interface)
        return
    interface = submission.interfaces[0]
    folder = session.roots("/input") / image_sockets(interface.inputs)[0].path
    files = image_files.image_files(folder, SUFFIXES)
    if (
        len(interface.inputs) > 1
        or not files
        or len(image_sockets(interface.outputs)) < len(interface.outputs)
    ):
        _predict_job(session, interface.inputs, interface)
        return
    session.every(
        (
            path.stem,
            functools.partial(_predict_image, session, path, interface.inputs[0].size, interface),
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


def _predict_job(session: Session, inputs: Sequence[Socket], interface: Interface) -> None:
    folder = session.roots("/input")
    for socket in inputs:
        if is_json(socket):
            read_json_value(folder / socket.path, socket)
        elif socket.kind == "file":
            _check_file(folder / socket.path, socket)
    files = {
        socket: image_files.only_file(folder / socket.path, SUFFIXES) for socket in image_sockets(inputs)
    }
    first, path = next(iter(files.items()))
    with session.timed(path.stem):
        if not first.name:
            _predict_image(session, path, first.size, interface)
            return
        case = Case(path.stem, {socket.name: file for socket, file in files.items()})
        prediction = session.predict(session.read(case))
        with tempfile.TemporaryDirectory() as own:
            labels = images.read_labels(session.challenge.write(prediction, case, Path(own))).array
        answers = {**prediction.answers, "label_map": labels}
        _publish(
            session, interface, Context(session.challenge, answers, nifti_mha.read_volume(path)), path.stem
        )


def _predict_image(session: Session, path: Path, size: tuple[int, int] | None, interface: Interface) -> None:
    pixels, grid = image_files.read_image(path, size)
    tasks = tasks_of(interface, session.challenge)
    prediction = session.predict(Sample(Case(path.stem, {"image": path}), pixels, tasks))
    answers = {task: answer[0] for task, answer in prediction.answers.items()}
    if "label_map" in answers and session.challenge.card.labels:
        values = np.array(list(session.challenge.card.labels))
        answers["label_map"] = values.astype(np.min_scalar_type(values.max()))[answers["label_map"]]
    _publish(session, interface, Context(session.challenge, answers, grid), path.stem)


def _publish(session: Session, interface: Interface, context: Context, stem: str) -> None:
    """Write all outputs of a job, or none."""
    with publishing(session.roots("/output")) as staging:
        for socket in interface.outputs:
            if socket.kind == "image":
                target = staging / socket.path / f"{stem}.mha"
                image_files.write_labels(target, context.answers["label_map"], context.grid)
            else:
                write_json(staging / socket.path, json_value(socket, context))


def _expected(challenge: Challenge, trial: Trial) -> Mapping[str, Any]:
    """Answers in the prediction file of ``medbench run``, by task.

    Raises:
        MedbenchError: ``rehearsal.unreadable`` where the challenge cannot read its own predictions.
    """
    if "label_map" in trial.sample.demands and images.suffix_of(trial.expected) in images.SUFFIXES:
        return {"label_map": np.squeeze(images.read_labels(trial.expected).array)}
    (task,) = trial.sample.demands
    read: Any = getattr(challenge.exchange, "read_prediction", None)
    if read is None:
        raise MedbenchError(
            "rehearsal.unreadable",
            f"{trial.expected.name}: {challenge.name} reads no predictions of its own to compare.",
            "Give its exchange read_prediction(case, path), or write label maps as images.",
        )
    return {task: read(trial.case, trial.expected)}


def _check_file(path: Path, socket: Socket) -> None:
    if not path.is_file():
        raise MedbenchError("input.missing", f"{path}: is missing.", f"Give the input {socket.slug}.")
