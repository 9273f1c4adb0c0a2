"""Masks of another size than their image: refused before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medbench.challenges.exchange import size_text
from medbench.core.errors import MedbenchError
from medbench.io import images, nifti_mha, raster

MOST_NAMED = 5
READERS = 4
OTHER_SIZE = "Crop or resize the mask as its image was, by nearest neighbour, or leave the image out."


def refuse_other_sizes(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse masks whose size is not that of their image, by the headers of the files.

    Args:
        pairs: image and mask; those of which one is no image and no volume are left out.

    Raises:
        MedbenchError: ``data.size_mismatch`` with the number of such masks and the first five of them; what
            the gate refuses for a file that is no image.
    """
    known = (*raster.SUFFIXES, *images.VOLUME_SUFFIXES)
    of_headers = [pair for pair in pairs if all(images.suffix_of(path) in known for path in pair)]
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
    examples = [
        f"{mask.name} ({size_text(own)}, its image {size_text(due)})"
        for mask, own, due in others[:MOST_NAMED]
    ]
    more = ", …" if len(others) > MOST_NAMED else ""
    words = (
        f"{others[0][0].parent}: {len(others)} masks are of another size than their image: "
        f"{', '.join(examples)}{more}."
    )
    raise MedbenchError("data.size_mismatch", words, OTHER_SIZE)


def check_size(mask: Path | str, own: Sequence[int], due: Sequence[int]) -> None:
    """Refuse a reference whose size is not that of its image.

    Args:
        mask: its file or case.
        own: its size.
        due: size of the image.

    Raises:
        MedbenchError: ``data.size_mismatch``.
    """
    if tuple(own) != tuple(due):
        raise MedbenchError(
            "data.size_mismatch",
            f"{mask}: is {size_text(own)} where its image is {size_text(due)}.",
            OTHER_SIZE,
        )


def _sizes(pair: tuple[Path, Path]) -> tuple[Path, tuple[int, ...], tuple[int, ...]]:
    image, mask = pair
    return mask, _plane(mask), _plane(image)


def _plane(path: Path) -> tuple[int, ...]:
    """Height and width of an image, in a file of volumes too, whose first axis may hold its channels."""
    if images.suffix_of(path) in images.VOLUME_SUFFIXES:
        return nifti_mha.read_geometry(path).shape[-2:]
    return raster.read_size(path)
