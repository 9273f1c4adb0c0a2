"""Releases that list their images: cases, splits, reading and checks, whatever the references are."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.leaks import leaks
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding, Role
from medbench.core.case import Case
from medbench.core.guard import Failure, guarded
from medbench.core.text import counted
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone


class ListedImage(Protocol):
    """An image of a release with its reference."""

    @property
    def id(self) -> str:
        """Its name in the release, unique."""
        ...

    @property
    def image(self) -> Path:
        """Path of the image."""
        ...

    @property
    def group(self) -> str:
        """Patient, lesion, video or slide; empty when the image stands alone."""
        ...

    @property
    def fault(self) -> str:
        """Why there is no reference that can be used; empty where there is one."""
        ...


I = TypeVar("I", bound=ListedImage)  # noqa: E741


class ListedImageRelease(Release, Generic[I]):
    """Files of a release that lists its images.

    Attributes:
        colours: whether the release holds colour images alone; else grey ones are read as three equal planes.
    """

    colours: ClassVar[bool] = True

    @abc.abstractmethod
    def images(self, root: Path) -> list[I]:
        """Every image of the folder in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``, or when a table of references cannot be read.
        """

    @abc.abstractmethod
    def images_of(self, images: Sequence[I], split: str) -> list[I]:
        """The images that belong to a split."""

    @abc.abstractmethod
    def case_of(self, image: I) -> Case:
        """The case of an image, with its reference or its fault among the facts."""

    @abc.abstractmethod
    def content_of(self, images: Sequence[I]) -> str:
        """References that some images have, counted in words; empty where none is known."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images; those without a reference have no score."""
        self.check_split(split)
        images = self.images(root)
        members = self.images_of(images, split)
        if not members:
            raise self.empty_split(root, split, counted(len(images), "image"))
        return [self.case_of(image) for image in members]

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or of another kind than the release's.
        """
        check_alone(path, raster.SUFFIXES)
        if self.colours:
            return eight_bit.read_rgb(path)
        return eight_bit.read_as_rgb(path)

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: a reference is a row of a table, or a file that several images may share."""
        return super().shown_sha256(path, role) if role == "image" else None

    def check_files(self, root: Path) -> list[Finding]:
        """Counts of references, every image, references that are missing, images and groups in two splits."""
        images = self.images(root)
        findings = [Finding("error", image.fault) for image in images if image.fault]
        findings += self.check_images(images)
        findings += self.notes(root, images)
        counts: list[Finding] = []
        for splits in self.disjoint_splits():
            owners = {split: self.images_of(images, split) for split in splits}
            counts += [self._count(split, owners[split]) for split in splits]
            findings += leaks(owners)
        return [*counts, *findings]

    def check_images(self, images: Sequence[I]) -> list[Finding]:
        """Findings on every image."""
        with ThreadPoolExecutor(2) as pool:
            return [finding for own in pool.map(self._guarded_image, images) for finding in own]

    def check_image(self, image: I) -> list[Finding]:
        """Findings on an image and its reference.

        Raises:
            MedbenchError: when it cannot be read.
        """
        self.read_image(image.image)
        return []

    def notes(self, root: Path, images: Sequence[I]) -> Sequence[Finding]:
        """Findings on the release as a whole."""
        return ()

    def _guarded_image(self, image: I) -> list[Finding]:
        look = guarded(image.id, partial(self.check_image, image))
        return [unreadable(image, look)] if isinstance(look, Failure) else look

    def _count(self, split: str, images: Sequence[I]) -> Finding:
        content = self.content_of(images)
        return self.count_finding(split, len(images), f" ({content})" if content else "")


def unreadable(image: ListedImage, failure: Failure) -> Finding:
    """The finding on an image that cannot be read, which names its file once."""
    message = failure.reason if str(image.image) in failure.reason else f"{image.image}: {failure.reason}"
    return Finding("error", message, failure.hint)
