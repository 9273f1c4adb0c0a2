"""Submissions from TOML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml
from medbench.core.registry import unknown_name
from medbench.submissions.description import Submission


def read_submission(path: Path, *, registry: str = "") -> Submission:
    """Read and check a submission file; challenge, model and platform must be known.

    Args:
        path: the TOML.
        registry: replaces the registry of the file.

    Raises:
        MedbenchError: ``submission.missing``, ``submission.syntax``, ``submission.key``,
            ``challenge.unknown``, ``model.unknown`` or ``platform.unknown``; ``option.ignored`` for a
            registry where no image is handed in.
    """
    if not path.is_file():
        raise MedbenchError(
            "submission.missing",
            f"{path}: there is no such file.",
            "Write one with 'medbench submit init -c CHALLENGE -m MODEL'.",
        )
    try:
        content = read_toml(path)
    except ValueError as error:
        raise MedbenchError(
            "submission.syntax", f"{path}: is no TOML ({error}).", "Correct that line."
        ) from error
    if registry:
        content["registry"] = registry
    submission = parse_submission(content, str(path))
    if registry:
        refuse_of_images("--registry", submission)
    return submission


def refuse_of_images(option: str, submission: Submission) -> None:
    """Refuse an option about the image where a platform takes none.

    Raises:
        MedbenchError: ``option.ignored``.
    """
    from medbench.submissions.platforms import load_platform

    platform = load_platform(submission.platform)
    if platform.delivers != "image":
        raise MedbenchError(
            "option.ignored",
            f"{option} has no effect on {submission.platform}, which takes no image.",
            "Leave it out.",
        )


def parse_submission(content: dict[str, Any], where: str) -> Submission:
    """A submission from the content of its file.

    Raises:
        MedbenchError: as :func:`read_submission`.
    """
    from medbench.challenges import load_challenge
    from medbench.models import model_entry
    from medbench.submissions.platforms import load_platform

    try:
        submission = Submission.model_validate(content)
    except ValidationError as error:
        raise _explained(error, where) from error
    for check, name in (
        (load_challenge, submission.challenge),
        (model_entry, submission.model),
        (load_platform, submission.platform),
    ):
        try:
            check(name)
        except MedbenchError as error:
            raise MedbenchError(error.code, f"{where}: {error.message}", error.hint) from error
    return submission


def _explained(error: ValidationError, where: str) -> MedbenchError:
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        fields: Any = Submission
        for part in first["loc"][:-1]:
            if isinstance(part, str):
                annotation = fields.model_fields[part].annotation
                fields = getattr(annotation, "__args__", (annotation,))[0]
        hint = unknown_name("key", str(first["loc"][-1]), fields.model_fields).hint
        return MedbenchError("submission.key", f"{where}: there is no key '{key}'.", hint)
    reason = first["msg"].removeprefix("Value error, ")
    return MedbenchError(
        "submission.key", f"{where}: {key}: {reason}.", "'medbench submit init' explains every key."
    )
