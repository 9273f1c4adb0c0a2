"""A new submission file, with every key explained."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.challenges.declared.writing import declaration_text
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.folders import at_home
from medbench.core.task import titles
from medbench.models import model_entry
from medbench.models.registry import check_options
from medbench.running.networks import match
from medbench.submissions.build.extensions import lint_extensions, other_files
from medbench.submissions.build.own_parts import is_declared
from medbench.submissions.findings import refuse
from medbench.submissions.platforms import load_platform, platform_for
from medbench.submissions.reading import parse_submission

COMMENT_COLUMN = 28
_NO_OPTIONS = "# [options]                # of the model, as --set of 'medbench run': n_win = 8\n"
_TEMPLATE = """\
# {model} on {title}, for {platform_title}.
# medbench submit build | check | rehearse | save {file}

name = "{name}"            # of the image and of the folder build/<name>
challenge = "{challenge}"
model = "{model}"
platform = "{platform}"    # docs/submissions.md lists them
author = ""                # for the image's label
{method}uploaded = []              # sha256:... of images that the platform already has
registry = ""              # where the image is pushed, e.g. docker.synapse.org/syn123; empty: nowhere

{options}
[weights]
file = {weights}              # what 'medbench train' left; or a path beside this file; or "none"
delivery = "baked"         # "baked" into the image, or "mounted": uploaded apart as model.tar.gz
# recipe = "paper"         # recipe of the training that "auto" takes

[inference]                # as of 'medbench run': what decides the result
precision = "fp32"         # fp32, bf16 or fp16
# batch_size = 8           # images (8) or windows of a volume (1) a forward pass
# image_size = 512         # the training's if not given
# overlap = 0.5            # of a volume's windows
# mirror = true            # average over a volume's mirrored views

[image]
accelerator = "cpu"        # "cpu" or "cuda": which builds of torch are installed
base = ""                  # empty: the official Python image of the tested version
digest = ""                # sha256:... of the base image, once known
packages = "index"         # pip installs the lock; "vendored": copied from here; "base": the base has them
torch_index = ""           # empty: the index of the accelerator
licence = "Apache-2.0"

[limits]                   # where the phase differs from the platform's own
# time_s = 300             # seconds a case
# memory_gb = 16
# shared_memory_mb = 128
# processes = 256

{interfaces}"""


def submission_text(
    challenge: str,
    model: str,
    platform: str | None = None,
    name: str | None = None,
    *,
    weights: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> str:
    """The content of a new submission file.

    Args:
        challenge: name of the challenge.
        model: name of the model.
        platform: name of the platform; the challenge's own if not given.
        name: of the image.
        weights: ``auto``, ``none``, or a path from the submission file's folder.
        options: of the model.

    Raises:
        MedbenchError: for an unknown challenge, model or platform, ``platform.undecided``;
            ``platform.other`` for one that takes another challenge's files; ``platform.demand`` for answers
            that the platform does not take; ``model.task`` or ``model.form`` for a model that does not serve
            the challenge; ``model.option``; a name that cannot name an image; or ``submission.unfit`` for a
            model or challenge that no container would hold.
    """
    card = load_challenge(challenge)
    refuse(list(lint_extensions(model, challenge)))
    place = load_platform(platform or platform_for(challenge))
    if not place.reads(card) and not is_declared(challenge):
        other = other_files(place, challenge)
        raise MedbenchError(other.rule, other.message, other.advice)
    refuse(list(lint_extensions(model, challenge, place)))
    entry, _ = model_entry(model).on(challenge)
    if not entry.local:
        match(entry, card)
        check_options(entry, options or {})
    sockets = place.template(card)
    if "[[interfaces]]" in sockets and "[[interfaces.outputs]]" not in sockets:
        raise MedbenchError(
            "platform.demand",
            f"{card.title} demands {titles(card.card.demands)}; {place.name} takes no such answers.",
            "Hand in where the challenge is run: 'medbench predict' writes its files.",
        )
    name = name or default_name(challenge, model)
    text = _TEMPLATE.format(
        model=model,
        title=card.title,
        platform_title=place.title,
        file=f"submissions/{challenge}/{name}.toml",
        name=name,
        challenge=challenge,
        platform=place.name,
        weights=json.dumps(weights, ensure_ascii=False),
        method=place.method_line,
        options=declaration_text("options", options) if options else _NO_OPTIONS,
        interfaces=sockets,
    )
    parse_submission(tomllib.loads(text), name)
    return _aligned(text.rstrip() + "\n")


def _aligned(text: str) -> str:
    """Lines whose comments start in one column, where the values are short enough."""
    return re.sub(
        r"^(\S.*?) {2,}# ", lambda match: f"{match[1]:<{COMMENT_COLUMN - 2}}  # ", text, flags=re.MULTILINE
    )


def write_submission(
    challenge: str,
    model: str,
    platform: str | None,
    name: str | None,
    folder: Path = Path("submissions"),
    *,
    weights: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``submissions/<challenge>/<name>.toml``; an existing file is never overwritten.

    Args:
        challenge: name of the challenge.
        model: name of the model.
        platform: name of the platform; the challenge's own if not given.
        name: of the image and of the file.
        folder: of submissions.
        weights: ``auto``, ``none``, or a file, which is named from the submission's folder.
        options: of the model.

    Raises:
        MedbenchError: ``submission.exists``, ``weights.missing``, and as :func:`submission_text`.
    """
    path = folder / challenge / f"{name or default_name(challenge, model)}.toml"
    if weights not in ("auto", "none"):
        if not at_home(weights).is_file():
            raise MedbenchError("weights.missing", f"{weights}: there is no such file.", "Check --weights.")
        weights = Path(os.path.relpath(at_home(weights), path.parent)).as_posix()
    text = submission_text(challenge, model, platform, name, weights=weights, options=options)
    if path.exists():
        raise MedbenchError("submission.exists", f"{path}: exists already.", "Choose another --name.")
    write_text(path, text)
    return path


def default_name(challenge: str, model: str) -> str:
    """``<model>-<challenge>`` as a valid name of an image.

    >>> default_name("kpis_patch", "smp/unet")
    'smp-unet-kpis-patch'
    >>> default_name("ours", "nets/my_net.py:MyNet")
    'nets-my-net.py-mynet-ours'
    """
    return re.sub(r"[^a-z0-9.]+", "-", f"{model}-{challenge}".lower()).strip("-.")
