"""Masks of another size than their image: refused before their values are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medbench.challenges.exchange import size_text
from medbench.core.errors import MedbenchError
from medbench.core.text import named
from medbench.io import images, raster
from medbench.io.gate.expected import handed_in

READERS = 4
RESIZE_BACK = "Resize predictions back to the size of their image by nearest neighbour."
ON_ITS_GRID = "Bring predictions back to the grid of their volume, in the same order of axes."
OTHER_SIZE = "Crop or resize the mask as its image was, by nearest neighbour, or leave the image out."


def refuse_other_sizes(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse masks whose size is not that of their image, by the headers of the files.

    Args:
        pairs: image and mask; those of which one is no image and no volume are left out.

    Raises:
        MedbenchError: ``data.size_mismatch`` with the number of such masks and the first five of them; what
            the gate refuses for a file that is no image.
    """
    suffixes = (*raster.SUFFIXES, *images.VOLUME_SUFFIXES)
    of_headers = [pair for pair in pairs if all(images.suffix_of(path) in suffixes for path in pair)]
    with ThreadPoolExecutor(READERS) as pool:
        refuse_unequal(pool.map(_sizes, of_headers))


def refuse_unequal(sizes: Iterable[tuple[Path, Sequence[int], Sequence[int]]]) -> None:
    """Refuse masks whose size is not that of their image.

    Args:
        sizes: a mask's file, its size, and the size of its image.

    Raises:
        MedbenchError: ``data.size_mismatch`` with the number of such masks and the first five of them.
    """
    others = [(mask, own, due) for mask, own, due in sizes if tuple(own) != tuple(due)]
    if not others:
        return
    if len(others) == 1:
        check_size(*others[0])
    examples = [f"{mask.name} ({size_text(own)}, its image {size_text(due)})" for mask, own, due in others]
    words = (
        f"{others[0][0].parent}: {len(others)} masks are of another size than their image: {named(examples)}."
    )
    raise MedbenchError("data.size_mismatch", words, OTHER_SIZE)


def check_size(mask: Path | str, own: Sequence[int], due: Sequence[int], hint: str = OTHER_SIZE) -> None:
    """Refuse a mask whose size is not that of its image.

    Args:
        mask: its file or case.
        own: its size.
        due: size of the image.
        hint: what to do.

    Raises:
        MedbenchError: ``data.size_mismatch``.
    """
    if tuple(own) != tuple(due):
        raise MedbenchError(
            "data.size_mismatch",
            f"{mask}: is {size_text(own)} where its image is {size_text(due)}.",
            hint,
        )


def _sizes(pair: tuple[Path, Path]) -> tuple[Path, tuple[int, ...], tuple[int, ...]]:
    image, mask = pair
    return mask, _plane(mask), _plane(image)


def check_mask_sizes(
    reference: tuple[Path, Sequence[int]],
    prediction: tuple[Path, Sequence[int] | None],
    image_size: Callable[[], Sequence[int]],
) -> None:
    """Refuse reference and prediction of two sizes, by the name of whichever differs from its image.

    Args:
        reference: its file and size.
        prediction: its file and size; ``None`` where the size is not known yet.
        image_size: reads the size of the image.

    Raises:
        MedbenchError: ``data.size_mismatch``, or as ``image_size``.
    """
    own = prediction[1]
    if own is not None and tuple(own) != tuple(reference[1]):
        due = image_size()
        check_size(*reference, due)
        check_size(prediction[0], own, due, RESIZE_BACK)


def check_prediction_size(
    path: Path, own: Sequence[int] | None, due: Sequence[int], hint: str = RESIZE_BACK
) -> None:
    """Refuse a prediction whose size is not that of its reference.

    Args:
        path: the prediction.
        own: its shape; ``None`` where that is not known yet.
        due: shape of the reference.
        hint: what to do.

    Raises:
        MedbenchError: ``data.size_mismatch``.
    """
    if own is not None and tuple(own) != tuple(due):
        raise MedbenchError(
            "data.size_mismatch",
            f"{path}: is {size_text(own)} where its reference is {size_text(due)}.",
            hint,
        )


def prediction_size(path: Path, due: Sequence[int]) -> tuple[int, ...] | None:
    """Shape of a prediction by the header of its file; ``None`` for a file of no image type.

    The shape is told before the values are looked at: odd values of a mask of another size come of its
    resizing. Of a plane in a file of volumes, alone or three times, it is that of the plane.

    Args:
        path: the prediction.
        due: shape of the reference.

    Raises:
        MedbenchError: what the gate refuses of a header.
    """
    if images.suffix_of(path) not in images.SUFFIXES:
        return None
    own = images.read_shape(path, expected=handed_in(tuple(due)))
    return own[1:] if len(due) == 2 and len(own) == 3 and own[0] in (1, 3) else own


def _plane(path: Path) -> tuple[int, ...]:
    """Height and width of an image, in a file of volumes too, whose first axis may hold its channels."""
    return images.read_shape(path)[-2:]
