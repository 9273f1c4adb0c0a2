"""Input sockets in a rehearsal of grand-challenge: entries of ``inputs.json``, and images as stored there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.sample import Sample
from medbench.io import images
from medbench.submissions.description import Socket
from medbench.submissions.platforms.base import Trial
from medbench.submissions.platforms.socket_values import KINDS, is_json


def image_sockets(sockets: Sequence[Socket]) -> tuple[Socket, ...]:
    """The sockets that hold an image."""
    return tuple(socket for socket in sockets if socket.kind == "image")


def input_entry(socket: Socket, style: str) -> dict[str, Any]:
    """The entry of ``inputs.json`` in the form of 2026 (``socket``) or 2025 (``interface``)."""
    description = {"slug": socket.slug, "relative_path": socket.path}
    if style == "socket":
        kind = "json" if is_json(socket) else socket.kind
        kinds = {f"is_{name}_kind": kind == name for name in ("image", "json", "file")}
        return {"file": None, "image": None, "value": None, "socket": {**description, **kinds}}
    super_kind = "Json" if is_json(socket) else socket.kind.title()
    description |= {"kind": KINDS[socket.kind], "super_kind": super_kind}
    return {"file": None, "image": None, "value": None, "interface": description}


def stage_image(trial: Trial, socket: Socket, target: Path, *, planes: bool) -> None:
    """Write the image of a case that a socket takes, as MetaImage.

    Args:
        trial: the case.
        socket: the input.
        target: the file.
        planes: whether colours are three planes of a volume rather than a vector a pixel.

    Raises:
        MedbenchError: ``submission.interfaces`` where the case has no such input.
    """
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
