"""The submission to hc18.grand-challenge.org: a table with one ellipse in mm for each test image."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.hc18.files import HC18Release
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.text import agreeing

SUBMISSION_COLUMNS = (
    "filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad",
)  # fmt: skip


def write_submission(
    release: HC18Release, exchange: ImageMaskExchange, root: Path, predictions: Path, path: Path
) -> Path:
    """Write the submission: a table with an ellipse in mm for each of the 335 test images.

    Centres are in mm from the centre of the upper left pixel, x to the right and y down; a is the longer
    semi-axis and ``angle_rad`` its angle from the x axis towards y, from 0 up to π. The site's own text
    on these conventions was not found: compare with its example before the first hand-in.

    Args:
        release: gives names and pixel sizes.
        exchange: reads the masks.
        root: folder of the release.
        predictions: folder of masks as the exchange names them.
        path: of the ``.csv`` file.

    Raises:
        MedbenchError: ``submission.incomplete`` naming the images without a usable mask; nothing is
            written then. ``data.pixel_size`` as :meth:`HC18Release.pixel_size_mm`.
    """
    rows, lacking = [], []
    for case in release.cases(root, "official_test"):
        step = release.pixel_size_mm(case)
        mask = exchange.locate(case, predictions)
        row = None if mask is None else ellipse_row(case.id, exchange.read_prediction(mask), step)
        if row is None:
            lacking.append(f"{case.id} ({'no mask' if mask is None else 'no ellipse fits its mask'})")
        else:
            rows.append(row)
    if lacking:
        have = agreeing(len(lacking), "has", "have")
        raise MedbenchError(
            "submission.incomplete",
            f"{predictions}: {len(lacking)} of {len(lacking) + len(rows)} test images {have} no ellipse, "
            f"the first is {lacking[0]}.",
            "The site takes one row for every image: predict split official_test again.",
        )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([SUBMISSION_COLUMNS, *rows])
    write_text(path, text.getvalue())
    return path


def ellipse_row(name: str, mask: npt.NDArray[np.uint8], pixel_size_mm: float) -> list[str] | None:
    """A row of the submission: the ellipse fitted to a mask's outer contour; ``None`` when none fits."""
    from medbench.metrics.tasks.biometry import fitted_ellipse

    ellipse = fitted_ellipse(mask, simplify=False)
    if ellipse is None:
        return None
    x, y = (value * pixel_size_mm for value in ellipse.center)
    short, long = (value / 2 * pixel_size_mm for value in ellipse.axes)
    turn = math.radians(ellipse.angle + 90) % math.pi
    return [f"{name}.png", *(f"{value:.6f}" for value in (x, y, long, short, turn))]
