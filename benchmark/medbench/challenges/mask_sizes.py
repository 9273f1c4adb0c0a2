"""Masks of another size than their image: refused before their values are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from medbench.challenges.exchange import size_text
from medbench.core.errors import MedbenchError
from medbench.core.text import named
from medbench.io import hdf5, images, raster
from medbench.io.gate.expected import handed_in

READERS = 4
RESIZE_BACK = "Resize predictions back to the size of their image by nearest neighbour."
ON_ITS_GRID = "Bring predictions back to the grid of their volume, in the same order of axes."
OF_VALUES = ("data.label_unknown", "data.mask_not_binary", "data.not_finite")
"""Codes of refusals for values; of volumes ``data.not_a_label_map`` too, elsewhere that of a colour image."""
OTHER_SIZE = "Crop or resize the mask as its image was, by nearest neighbour, or leave the image out."


class Shaped(Protocol):
    """An array or a volume."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        ...


S = TypeVar("S", bound=Shaped)


def refuse_other_sizes(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Refuse masks whose size is not that of their image, by the headers of the files.

    In files of volumes height and width are compared, as the first axis may hold an image's channels.

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


def check_size(
    mask: Path | str,
    own: Sequence[int],
    due: Sequence[int],
    hint: str = OTHER_SIZE,
    of: Literal["image", "reference"] = "image",
) -> None:
    """Refuse a mask whose size is not that of its image or of its reference.

    Args:
        mask: its file or case.
        own: its size.
        due: size of the image or the reference.
        hint: what to do.
        of: whose size that is.

    Raises:
        MedbenchError: ``data.size_mismatch``.
    """
    if tuple(own) != tuple(due):
        raise MedbenchError(
            "data.size_mismatch", f"{mask}: is {size_text(own)} where its {of} is {size_text(due)}.", hint
        )


def _sizes(pair: tuple[Path, Path]) -> tuple[Path, tuple[int, ...], tuple[int, ...]]:
    image, mask = pair
    return mask, images.read_shape(mask)[-2:], images.read_shape(image)[-2:]


def check_mask_sizes(
    reference: tuple[Path, Sequence[int]],
    prediction: tuple[Path, Sequence[int]],
    image_size: Callable[[], Sequence[int]],
) -> None:
    """Refuse reference and prediction of two sizes, by the name of whichever differs from its image.

    Args:
        reference: its file and size.
        prediction: its file and size.
        image_size: reads the size of the image.

    Raises:
        MedbenchError: ``data.size_mismatch``, or as ``image_size``.
    """
    if tuple(prediction[1]) != tuple(reference[1]):
        due = image_size()
        check_size(*reference, due)
        check_size(*prediction, due, RESIZE_BACK)


def sized(read: Callable[[], S], path: Path, axes: int, check: Callable[[Sequence[int]], None]) -> S:
    """A prediction of the right size; of another size it is refused by its size and not by its values.

    Odd values of a mask of another size come of its resizing, so that the size is what a person must hear of.

    Args:
        read: reads the prediction and refuses odd values.
        path: the file.
        axes: of the reference.
        check: refuses a shape.

    Raises:
        MedbenchError: as ``check`` and ``read``.
    """
    try:
        prediction = read()
    except MedbenchError as error:
        suffix = images.suffix_of(path)
        fractions = error.code == "data.not_a_label_map"
        if suffix in hdf5.SUFFIXES and (fractions or error.code in OF_VALUES):
            check(hdf5.read_shapes(path)["label"])
        elif suffix in images.SUFFIXES and (
            error.code in OF_VALUES or (fractions and suffix in images.VOLUME_SUFFIXES)
        ):
            check(_shape(path, axes))
        raise
    check(prediction.shape)
    return prediction


def _shape(path: Path, axes: int) -> tuple[int, ...]:
    """Shape by the header of a file; of a plane in a file of volumes, alone or three times, the plane's."""
    own = images.read_shape(path, expected=handed_in())
    return own[1:] if axes == 2 and len(own) == 3 and own[0] in (1, 3) else own
