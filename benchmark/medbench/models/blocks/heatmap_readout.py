"""Points from heat maps: the largest pixel as in IUGC 2025's starting kit, its centre, or between pixels."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from medbench.core.errors import MedbenchError

Readout = Literal["official", "centre", "subpixel"]
READOUTS: tuple[Readout, ...] = get_args(Readout)
_FLOOR = 1e-3


def read_out(maps: Tensor, readout: Readout, size: tuple[int, int]) -> Tensor:
    """Points ``(N, maps, 2)`` of heat maps ``(N, maps, rows, columns)``, x and y as shares of the sides.

    ``official`` multiplies the index of the largest pixel by the stride, as 0oTyTo0/IUGC2025@bc8fce2 does,
    which is the top-left pixel of the square that the heat-map pixel stands for; ``centre`` takes the middle
    of that square; ``subpixel`` adds the vertex of the parabola through the logarithms of the pixel and its
    two neighbours along each axis, which is exact for a Gaussian.

    Args:
        maps: heat maps.
        readout: the rule.
        size: height and width of the image that the network saw, in pixels.

    Raises:
        MedbenchError: ``model.option`` for another rule.
    """
    if readout not in READOUTS:
        raise MedbenchError(
            "model.option", f"There is no read-out '{readout}'.", f"Known: {', '.join(READOUTS)}."
        )
    sides = []
    for axis in (3, 2):
        count = maps.shape[axis]
        profile, place = _profile(maps, axis)
        if readout == "official":
            pixels = size[1 if axis == 3 else 0]
            sides.append(place / count + 0.5 / pixels)
        else:
            offset = _vertex(profile, place) if readout == "subpixel" else 0.0
            sides.append((place + 0.5 + offset) / count)
    return torch.stack(sides, dim=-1)


def _profile(maps: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The line of each map through its largest pixel along an axis, and the pixel's index on the line."""
    columns = maps.shape[3]
    largest = maps.flatten(2).argmax(dim=2)
    row, column = largest // columns, largest % columns
    if axis == 3:
        index = row[:, :, None, None].expand(-1, -1, 1, columns)
        return maps.gather(2, index)[:, :, 0].float(), column
    index = column[:, :, None, None].expand(-1, -1, maps.shape[2], 1)
    return maps.gather(3, index)[..., 0].float(), row


def _vertex(profile: Tensor, place: Tensor) -> Tensor:
    """Offset of the parabola's vertex from the largest pixel, within half a pixel; 0 at the border."""
    last = profile.shape[2] - 1
    peak, before, after = (
        profile.gather(2, (place + step).clamp(0, last)[..., None])[..., 0] for step in (0, -1, 1)
    )
    floor = (peak.abs() * _FLOOR).clamp_min(torch.finfo(peak.dtype).tiny)
    middle, left, right = (torch.maximum(value, floor).log() for value in (peak, before, after))
    bend = 2 * middle - left - right
    offset = torch.where(bend > 0, (right - left) / (2 * bend.clamp_min(1e-12)), torch.zeros_like(bend))
    inside = (place > 0) & (place < last)
    return torch.where(inside, offset.clamp(-0.5, 0.5), torch.zeros_like(offset))
