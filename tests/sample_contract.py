"""The contract of a challenge on the sample that all tests share, of which a part is drawn again."""

from pathlib import Path

import pytest

from medbench.challenges import load_challenge
from medbench.challenges.acdc import sample as acdc
from medbench.challenges.brain_tumor_mri import sample as brain
from medbench.challenges.colonpath import sample as colonpath
from medbench.challenges.families.cvc_frames import sample as cvc
from medbench.challenges.hc18 import sample as hc18
from medbench.challenges.isic2018_task3 import sample as isic
from medbench.challenges.psfhs import sample as psfhs
from medbench.core.errors import MedbenchError
from medbench.running.samples import MARKER
from medbench.testing import check_challenge


def _isic_part(root):
    images = list(isic.drawn_images())[::15]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isic, "drawn_images", lambda: images)
        isic.write_sample(root)


PARTS = {
    "acdc": lambda root: acdc.write_sample(root, {split: own[:1] for split, own in acdc.DRAWN.items()}),
    "brain_tumor_mri": lambda root: brain.write_sample(root, {"train": 1, "test": 1}),
    "colonpath": lambda root: colonpath.write_sample(root, colonpath.drawn_cases()[:4]),
    "cvc_clinicdb": lambda root: cvc.write_sample(
        root, {sequence: frames[:1] for sequence, frames in cvc.drawn_frames().items() if sequence % 5 == 0}
    ),
    "hc18": lambda root: hc18.write_sample(root, {part: own[:4] for part, own in hc18.drawn_names().items()}),
    "isic2018_task3": _isic_part,
    "psfhs": lambda root: psfhs.write_sample(root, psfhs.drawn_numbers()[::12]),
}
"""Draw part of a sample; whoever is not here is drawn whole."""


def check_with(name, folder, work, full):
    """Check a challenge on its shared sample, and that what is drawn again has the same bytes."""
    check_challenge(name, folder)
    release = load_challenge(name).release
    again = work / "again"
    again.mkdir()
    part = None if full else PARTS.get(name)
    part(again) if part else release.draw_sample(again, {})
    paths = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    images = [path for path in paths if path.suffix not in (".csv", ".txt")]
    assert images
    for path in images:
        assert (again / path).read_bytes() == (folder / path).read_bytes(), path
    for path in set(paths) - set(images):
        lines, whole = ((root / path).read_text().splitlines() for root in (again, folder))
        assert set(lines) <= set(whole), path
    if part is None:
        assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == {
            *paths,
            Path(MARKER),
        }
    assert not [finding for finding in release.check(folder) if finding.severity == "error"]
    with pytest.raises(MedbenchError):
        release.draw_sample(work / "option", {"no such option": 1})
