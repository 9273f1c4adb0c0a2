"""The hash of a split is that of its files' contents, whatever size and time say."""

import os

from medbench.core.case import Case
from medbench.records.identity import manifest_sha256


def test_a_reference_of_the_same_size_and_time_is_another_split(tmp_path):
    image, reference = tmp_path / "image.png", tmp_path / "labels.png"
    image.write_bytes(b"image")
    reference.write_bytes(b"labels 1")
    cases = [Case("a", {"image": image}, {"labels": reference})]
    first, before = manifest_sha256(tmp_path, cases), reference.stat()
    reference.write_bytes(b"labels 2")
    os.utime(reference, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reference.stat().st_size == before.st_size
    assert reference.stat().st_mtime_ns == before.st_mtime_ns
    assert manifest_sha256(tmp_path, cases) != first
    reference.write_bytes(b"labels 1")
    assert manifest_sha256(tmp_path, cases) == first
    reference.unlink()
    assert manifest_sha256(tmp_path, cases) != first


def test_where_the_data_lie_is_no_part_of_it(tmp_path):
    hashes = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(b"image")
        case = Case("a", {"image": tmp_path / name / "image.png"}, facts={"spacing": 1.0})
        hashes.add(manifest_sha256(tmp_path / name, [case]))
    assert len(hashes) == 1


def test_groups_and_names_of_files_are_part_of_it(tmp_path):
    hashes = set()
    for name in ("image.png", "other.png"):
        (tmp_path / name).write_bytes(b"image")
        for group in ("patient 1", "patient 2"):
            hashes.add(manifest_sha256(tmp_path, [Case("a", {"image": tmp_path / name}, group=group)]))
    assert len(hashes) == 4
