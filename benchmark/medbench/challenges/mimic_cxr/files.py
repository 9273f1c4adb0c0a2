"""Images of MIMIC-CXR-JPG with exactly one finding, as files of a challenge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.mimic_cxr.pairs import HINT, SPLITS, Radiograph, radiographs, table_of
from medbench.challenges.release import SplitFacts
from medbench.core.errors import MedbenchError

CLASSES = (
    "No Finding",
    "Consolidation",
    "Lung Lesion",
    "Pleural Effusion",
    "Pneumothorax",
    "Cardiomegaly",
)
IGNORED = ("Support Devices",)


class MimicRelease(ImageClassRelease):
    """Files of MIMIC-CXR-JPG."""

    splits = SPLITS
    data_hint = HINT
    sample_writer = "medbench.challenges.mimic_cxr.sample:write_sample"
    sample_version = "2"
    colours = False

    def split_facts(self, split: str) -> SplitFacts:
        """The release's own table."""
        return SplitFacts("the release's own table of splits, by patient; images with exactly one finding")

    def images(self, root: Path) -> list[ClassedImage]:
        """Frontal images of which the table of findings states exactly one, and one of the classes."""
        table = table_of(root, "chexpert")
        if table is None:
            raise MedbenchError(
                "data.layout_unknown",
                f"{root}: holds no mimic-cxr-2.0.0-chexpert.csv, which says what images show.",
                HINT,
            )
        images = []
        for radiograph in radiographs(root):
            name = single_finding(radiograph)
            if name is not None:
                images.append(
                    ClassedImage(
                        radiograph.id,
                        radiograph.image,
                        table,
                        CLASSES.index(name),
                        radiograph.patient,
                        radiograph.split,
                    )
                )
        return images

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Images of the split."""
        return [image for image in images if image.part == split]


def single_finding(radiograph: Radiograph) -> str | None:
    """The one class of an image; ``None`` where others are stated, several or uncertain."""
    findings = [name for name, value in radiograph.findings.items() if value and name not in IGNORED]
    if len(findings) != 1 or findings[0] not in CLASSES or radiograph.findings[findings[0]] != 1:
        return None
    return findings[0]
