"""Commands on folders and zips of predictions, on suspicious predictions, and on copies in two splits."""

import json
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import gate_samples as made
import nibabel
import numpy as np
import pytest
import tifffile
from gate_releases import CHALLENGES, release
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.challenges.stray import repeated
from medbench.cli.main import app, main
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.core.sample import Prediction
from medbench.io import hdf5, nifti_mha, raster
from medbench.io.gate import zipped
from medbench.metrics.checks.suspicion import suspicions
from medbench.running.evaluate import evaluate
from medbench.running.folders import evaluate_folders
from medbench.submissions.host.serving import evaluate_results
from medbench.submissions.serving.session import Roots

DICE = ["dice"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("releases")


@pytest.fixture
def psfhs(home, tmp_path):
    """The release, and a copy of its predictions that a test may damage."""
    made_release = release("psfhs", home)
    return made_release, Path(shutil.copytree(made_release.predictions, tmp_path / "p"))


def values(rows):
    return {row.case: {name: score.value for name, score in row.scores.items()} for row in rows}


def sidecar():
    head = struct.pack(">II16sH", 0x00051607, 0x00020000, b"Mac OS X        ", 2)
    return head + bytes(4096 - len(head))


def cube(shift=0):
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:15, 5:15, 5:15] = 1
    return np.roll(labels, shift, 0)


def save(path, labels, kind=nibabel.Nifti1Image, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(kind(labels, np.eye(4) if affine is None else affine), path)


def zip_of(path, folder, below="", **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, below + file.relative_to(folder).as_posix())
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_codabench_nested(psfhs, tmp_path):
    """A zip of a folder made by Finder: its one folder is opened, sidecars are no data."""
    made_release, predictions = psfhs
    results = tmp_path / "app/input/res"
    shutil.copytree(predictions, results / "my_submission")
    (results / "__MACOSX/my_submission").mkdir(parents=True)
    for file in predictions.iterdir():
        (results / "__MACOSX/my_submission" / f"._{file.name}").write_bytes(sidecar())
    (results / "my_submission/.DS_Store").touch()
    (tmp_path / "app/input/ref").symlink_to(made_release.root)
    evaluate_results({"challenge": "psfhs", "split": "test"}, Roots(tmp_path))
    details = json.loads((tmp_path / "app/output/details.json").read_text())
    assert {row["status"] for row in details["cases"]} == {"ok"}
    right = evaluate("psfhs", predictions, data=made_release.root)
    assert {row["case"]: row["scores"] for row in details["cases"]} == values(right.rows)


def test_a_zip_of_predictions_scores_as_its_folder(psfhs, tmp_path):
    made_release, predictions = psfhs
    right = evaluate("psfhs", predictions, data=made_release.root)
    for number, below in enumerate(("", "sub/")):
        path = zip_of(tmp_path / f"{number}.zip", predictions, below, **{"__MACOSX/._a.mha": "x"})
        finished = evaluate("psfhs", path, data=made_release.root)
        assert values(finished.rows) == values(right.rows)
        assert finished.record.model.title == str(number)
        assert (finished.folder / "report.html").stat().st_size > 1000
    missing = zip_of(tmp_path / "less.zip", predictions)
    with zipfile.ZipFile(missing, "w") as archive:
        archive.write(sorted(predictions.iterdir())[0], "03201.mha")
    finished = evaluate("psfhs", missing, data=made_release.root)
    assert [row.status for row in finished.rows].count("missing") == 4
    assert all("medbench-" not in row.reason for row in finished.rows)
    assert any("no prediction 03260.mha in {predictions}" in row.reason for row in finished.rows)


def test_a_prediction_in_a_folder_below_the_others_is_named(psfhs):
    made_release, predictions = psfhs
    (predictions / "more").mkdir()
    (predictions / "03260.mha").rename(predictions / "more" / "03260.mha")
    finished = evaluate("psfhs", predictions, data=made_release.root)
    reasons = {row.case: row.reason for row in finished.rows if row.status == "missing"}
    assert "more/03260.mha lies a folder deeper" in reasons["03260"]


def linked(archive):
    member = zipfile.ZipInfo("03201.mha")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


def announced(archive):
    archive.writestr("03201.mha", b"0" * 1000)
    archive.filelist[0].file_size = 3 << 33


BAD_ZIPS = {
    "link": (linked, "file.not_regular"),
    "parent": (lambda archive: archive.writestr("../03201.mha", b"x"), "file.outside"),
    "absolute": (lambda archive: archive.writestr("/03201.mha", b"x"), "file.outside"),
    "drive": (lambda archive: archive.writestr("c:03201.mha", b"x"), "file.outside"),
    "case": (lambda archive: [archive.writestr(name, b"x") for name in ("A.mha", "a.mha")], "file.corrupt"),
}


@pytest.mark.parametrize("kind", BAD_ZIPS)
def test_a_bad_zip_is_refused(psfhs, tmp_path, kind):
    make, code = BAD_ZIPS[kind]
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        make(archive)
    with pytest.raises(MedbenchError) as caught:
        evaluate("psfhs", path, data=psfhs[0].root)
    assert caught.value.code == code
    assert str(path) in caught.value.message


def test_a_bomb_and_a_damaged_zip_are_refused(psfhs, tmp_path, monkeypatch):
    made_release, predictions = psfhs
    path = zip_of(tmp_path / "p.zip", predictions)
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    for name, damage in (("flip", content), ("cut", content[:-30]), ("text", b"PK not")):
        other = tmp_path / f"{name}.zip"
        other.write_bytes(damage)
        with pytest.raises(MedbenchError) as caught:
            evaluate("psfhs", other, data=made_release.root)
        assert caught.value.code == "file.corrupt", name
    monkeypatch.setattr(zipped, "MEMORY_BYTES", 1 << 20)
    monkeypatch.setattr("medbench.running.handed_in.BYTES_A_CASE", 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("03201.mha", bytes(2 << 20))
    assert path.stat().st_size < 10_000
    with pytest.raises(MedbenchError) as caught:
        evaluate("psfhs", path, data=made_release.root)
    assert caught.value.code == "file.too_large"


def test_appledouble(psfhs):
    made_release, predictions = psfhs
    right = evaluate("psfhs", predictions, data=made_release.root)
    for file in list(predictions.iterdir()):
        file.with_name(f"._{file.name}").write_bytes(sidecar())
    finished = evaluate("psfhs", predictions, data=made_release.root, name="with sidecars")
    assert values(finished.rows) == values(right.rows)
    (note,) = finished.record.settings["notes"]
    assert note.startswith("5 hidden files")


def test_unused_files_and_names_that_differ_are_told(psfhs):
    made_release, predictions = psfhs
    (predictions / "03201.nii.gz").write_bytes(b"forgotten")
    (predictions / "03260.mha").rename(predictions / "03260.MHA")
    (predictions / "03320.mha").rename(predictions / "03320.png")
    finished = evaluate("psfhs", predictions, data=made_release.root)
    reasons = {row.case: row.reason for row in finished.rows if row.status == "missing"}
    assert "03260.MHA differs by case only" in reasons["03260"]
    assert "03320.png is of another type" in reasons["03320"]
    (note,) = finished.record.settings["notes"]
    assert note == "no case names 3 of the files: 03201.nii.gz, 03260.MHA, 03320.png"
    assert note in (finished.folder / "report.html").read_text()
    assert finished.exit_code == 1


def test_predictions_never_leave_their_folder(psfhs, tmp_path):
    made_release, predictions = psfhs
    truth = made_release.root / "label_mha"
    (predictions / "03201.mha").unlink()
    (predictions / "03201.mha").symlink_to(truth / "03201.mha")
    finished = evaluate("psfhs", predictions, data=made_release.root)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert (bad.case, bad.evidence["refusal"]) == ("03201", "file.link_outside")
    (predictions / "03201.mha").unlink()
    shutil.copy(made_release.predictions / "03201.mha", predictions / "sub.data")
    (predictions / "03201.mha").symlink_to("sub.data")
    assert evaluate("psfhs", predictions, data=made_release.root, name="b").rows[0].status == "failed"
    (predictions / "kept").mkdir()
    shutil.copy(made_release.predictions / "03201.mha", predictions / "kept/03201.mha")
    (predictions / "03201.mha").unlink()
    (predictions / "03201.mha").symlink_to("kept/03201.mha")
    row = evaluate("psfhs", predictions, data=made_release.root, name="c").rows[0]
    assert (row.status, list(row.predictions)) == ("ok", ["kept/03201.mha"])
    kpis = release("kpis_patch", tmp_path / "kpis")
    home = tmp_path / "linked"
    home.mkdir()
    (home / "DN").symlink_to(kpis.predictions / "DN")
    rows = evaluate("kpis_patch", home, data=kpis.root).rows
    assert {row.evidence["refusal"] for row in rows} == {"file.link_outside"}


def test_several_predictions_of_a_case_are_ambiguous(home, tmp_path):
    made_release = release("synapse", home)
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    own = predictions / "case0001_pred.nii.gz"
    for name in ("case0001.nii.gz", "case0001.npz"):
        shutil.copy(own, predictions / name)
    assert evaluate("synapse", predictions, data=made_release.root).exit_code == 0
    own.unlink()
    row = evaluate("synapse", predictions, data=made_release.root).rows[0]
    assert (row.status, row.evidence["refusal"]) == ("failed", "predictions.ambiguous")


def test_a_turned_prediction_is_refused_where_no_reference_confirms_it(home, tmp_path):
    """An array saved by nibabel under an identity affine is RAS; prepared references have no direction."""
    made_release = release("synapse", home)
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    path = predictions / "case0001_pred.nii.gz"
    labels = nifti_mha.read_volume(path).array
    nibabel.save(nibabel.Nifti1Image(labels.T.astype(np.uint8), np.eye(4)), path)
    rows = evaluate("synapse", predictions, data=made_release.root).rows
    assert [row.evidence.get("refusal") for row in rows] == ["data.direction", None, None, None, None]


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [(0, 1, ""), (0, 255, ""), (0, 2, "data.mask_not_binary"), (1, 255, "data.mask_not_binary")],
)
def test_masks_of_patches_are_0_and_1_or_0_and_255(home, tmp_path, low, high, code):
    made_release = release("kpis_patch", home)
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    case = made_release.cases[0]
    path = predictions / made_release.challenge.exchange.prediction_name(case)
    mask = raster.read_label_map(path) > 0
    raster.write_label_map(path, np.where(mask, high, low).astype(np.uint8))
    rows = evaluate("kpis_patch", predictions, data=made_release.root).rows
    right = evaluate("kpis_patch", made_release.predictions, data=made_release.root).rows
    assert rows[0].evidence.get("refusal", "") == code
    assert values(rows[1:]) == values(right[1:])
    if not code:
        assert values(rows) == values(right)


def test_unknown_labels_are_named_with_counts(home, tmp_path):
    made_release = release("brats2023_gli", home)
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    path = predictions / f"{made_release.cases[0].id}.nii.gz"
    volume = nifti_mha.read_volume(path)
    labels = volume.array.copy()
    labels[0, 0, :7] = 9
    nifti_mha.write_volume(path, Volume(labels, volume.spacing, volume.origin, volume.direction))
    row = evaluate("brats2023_gli", predictions, data=made_release.root).rows[0]
    assert row.evidence["refusal"] == "data.label_unknown"
    assert "label 9 (7 of 1,440 voxels)" in row.reason


def test_without_voxel_sizes_there_are_no_millimetres(home, tmp_path):
    made_release = release("brats2023_gli", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    predictions = Path(shutil.copytree(made_release.predictions, tmp_path / "p"))
    case = made_release.cases[0]
    for path in (root / "test" / case.id / f"{case.id}-seg.nii.gz", predictions / f"{case.id}.nii.gz"):
        array = nifti_mha.read_volume(path).array
        path.write_bytes(without_sizes(array.astype(np.uint8), tmp_path))
    row = evaluate("brats2023_gli", predictions, data=root).rows[0]
    for spec in made_release.challenge.metrics:
        score = row.scores[spec.name]
        assert (score.value is None) == (spec.unit == "mm"), spec.name
        if spec.unit == "mm":
            assert "states no voxel size" in score.reason


def without_sizes(array, work):
    """A NIfTI file whose header states neither voxel sizes nor an affine."""
    path = work / "plain.nii"
    image = nibabel.Nifti1Image(array.T, np.eye(4))
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    content[76:108] = bytes(32)
    content[252:328] = bytes(76)
    plain = work / "plain.nii.gz"
    import gzip

    plain.write_bytes(gzip.compress(bytes(content), mtime=0))
    return plain.read_bytes()


def test_twin_nii(tmp_path):
    save(tmp_path / "r/c4.nii.gz", cube())
    save(tmp_path / "p/c4.nii.gz", cube(2))
    save(tmp_path / "p/c4.nii", cube())
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    assert scores.aggregates["1/dice"].value == pytest.approx(0.8)
    assert any("c4.nii" in note for note in scores.notes)
    (tmp_path / "p/c4.nii.gz").rename(tmp_path / "p/c4.nrrd")
    save(tmp_path / "r/c5.nii.gz", cube())
    save(tmp_path / "p/c5.nii.gz", cube())
    rows = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE).rows
    assert [(row.status, row.evidence.get("refusal")) for row in rows] == [
        ("failed", "file.ambiguous"),
        ("ok", None),
    ]


def test_suffix_vanishes(tmp_path):
    for folder, labels in (("r", cube()), ("p", cube() * 0)):
        save(tmp_path / folder / "c1.nii.gz", cube())
        save(tmp_path / folder / "c2.img", labels, nibabel.Nifti1Pair)
        save(tmp_path / folder / "c3.mgz", labels.astype(np.int32), nibabel.freesurfer.MGHImage)
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    assert [row.scores["1/dice"].value for row in scores.rows] == [1, 0, 0]
    (tmp_path / "r/c5.dcm").write_bytes(b"DICM")
    (tmp_path / "r/README.txt").write_text("about")
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    assert [row.case for row in scores.rows] == ["c1", "c2", "c3", "c5.dcm"]
    assert (scores.rows[3].status, scores.rows[3].evidence["refusal"]) == ("failed", "file.type_unknown")
    assert scores.aggregates["1/dice"].failed == 1
    assert scores.exit_code == 1
    assert any("README.txt" in note for note in scores.notes)


@pytest.mark.parametrize("name", ["nifti2", "scaled", "sheared", "gantry_tilt"])
def test_files_that_others_read_are_read(tmp_path, name):
    tilt = np.diag([0.5, 0.5, 3, 1.0])
    tilt[1, 2] = 3 * np.tan(np.radians(15))
    rounded = np.diag([1, 1.2, 2.5, 1.0])
    rounded[:3, :3] += np.random.default_rng(0).normal(size=(3, 3)) * 2e-4
    affine = {"sheared": rounded, "gantry_tilt": tilt}.get(name)
    save(tmp_path / "r/a.nii.gz", cube(), affine=affine)
    kind = nibabel.Nifti2Image if name == "nifti2" else nibabel.Nifti1Image
    save(tmp_path / "p/a.nii.gz", cube(), kind, affine)
    if name == "scaled":
        image = nibabel.Nifti1Image(cube().astype(np.float64) * 2, np.eye(4))
        image.set_data_dtype(np.uint8)
        nibabel.save(image, tmp_path / "p/a.nii.gz")
        save(tmp_path / "r/a.nii.gz", cube() * 2)
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    assert [figures.value for figures in scores.aggregates.values()] == [1]


def test_white_is_zero(tmp_path):
    rows, columns = np.indices((96, 128))
    mask = (((rows - 40) / 25.0) ** 2 + ((columns - 60) / 35.0) ** 2) < 1
    (tmp_path / "p").mkdir()
    for name in ("boolean", "eight_bit", "good"):
        raster.write_label_map(tmp_path / f"r/{name}.png", mask.astype(np.uint8) * 255)
    tifffile.imwrite(tmp_path / "p/boolean.tif", mask)
    tifffile.imwrite(tmp_path / "p/eight_bit.tif", mask.astype(np.uint8) * 255, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "p/good.tif", mask.astype(np.uint8) * 255)
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    assert [row.evidence.get("refusal") for row in scores.rows] == ["data.white_is_zero"] * 2 + [None]
    assert scores.rows[2].scores["255/dice"].value == 1


def test_h5_external_link(home, tmp_path):
    import h5py

    made_release = release("synapse", home)
    (tmp_path / "p").mkdir()
    for case in made_release.cases:
        with h5py.File(tmp_path / "p" / f"{case.id}.npy.h5", "w") as file:
            file["label"] = h5py.ExternalLink(str(case.reference["labels"]), "label")
    finished = evaluate("synapse", tmp_path / "p", data=made_release.root)
    assert {row.evidence["refusal"] for row in finished.rows} == {"file.refers_elsewhere"}
    assert finished.record.metrics["dice"].value == 0


def test_zips_and_hidden_files_in_two_folders(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"r/{name}.nii.gz", cube())
        save(tmp_path / f"p/{name}.nii.gz", cube(1))
    (tmp_path / "r/._a.nii.gz").write_bytes(sidecar())
    right = evaluate_folders(tmp_path / "r", tmp_path / "p", DICE)
    path = zip_of(tmp_path / "p.zip", tmp_path / "p", "mine/")
    zipped_scores = evaluate_folders(tmp_path / "r", path, DICE)
    assert values(zipped_scores.rows) == values(right.rows)
    assert right.exit_code == 0
    assert len(right.rows) == 2
    assert right.notes == ["1 hidden file or folder of file systems and archives was passed over"]


def test_labels_that_no_reference_has_and_mixed_geometry(tmp_path):
    strange = cube().copy()
    strange[0, 0, :3] = 7
    save(tmp_path / "r/a.nii.gz", cube())
    save(tmp_path / "p/a.nii.gz", strange)
    for folder in "rp":
        raster.write_label_map(tmp_path / folder / "b.png", cube()[10])
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice", "hd95.pooled"])
    assert scores.notes == ["a: label 7 (3 of 8,000 voxels) is in no reference"]
    flat = scores.rows[1].scores
    assert (scores.rows[1].status, flat["1/dice"].value, flat["1/hd95.pooled"].value) == ("ok", 1, None)
    assert "states no voxel size" in flat["1/hd95.pooled"].reason


@pytest.mark.parametrize(
    "options",
    [
        ["-c", "psfhs", "--resample-to-reference"],
        ["-c", "psfhs", "--metrics", "dice"],
        ["-c", "psfhs", "--labels", "1"],
        ["-c", "psfhs", "--spacing", "pixel"],
        ["-c", "psfhs", "-o", "rows.jsonl"],
        ["-r", "refs", "--split", "test"],
        ["-r", "refs", "--name", "mine"],
        ["-r", "refs", "--runs", "x"],
    ],
    ids=lambda options: options[2].lstrip("-"),
)
def test_ignored_option(tmp_path, monkeypatch, capsys, options):
    """An option without effect is refused before anything is read."""
    monkeypatch.setattr("sys.argv", ["medbench", "evaluate", "-p", str(tmp_path), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "has no effect" in capsys.readouterr().err


def test_a_rename_that_changes_no_name_is_refused(psfhs):
    made_release, predictions = psfhs
    with pytest.raises(MedbenchError, match=r"no name holds '\.png', for example \d+\.mha") as caught:
        evaluate("psfhs", predictions, data=made_release.root, rename=(".png", "_pred.png"))
    assert caught.value.code == "option.ignored"


def test_tilde(psfhs, tmp_path, monkeypatch):
    made_release, predictions = psfhs
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", "~/x")
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", "~/y")
    assert (runs_folder(), leaderboards_folder()) == (tmp_path / "me/x", tmp_path / "me/y")
    arguments = ["evaluate", "-c", "psfhs", "--data", str(made_release.root), "-p", str(predictions)]
    monkeypatch.delenv("MEDBENCH_RUNS")
    result = CliRunner().invoke(app, [*arguments, "--runs=~/z", "--leaderboards=~/w"])
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "me/z/psfhs").rglob("record.json"))
    assert (tmp_path / "me/w/psfhs/results.jsonl").is_file()
    assert not (tmp_path / "~").exists()


def test_volume_duplicates(home, tmp_path):
    """Two patients of test are overwritten with two of train, under the test patients' names."""
    from medbench.challenges.brats.sample import draw_head

    challenge = load_challenge("brats2023_gli")
    root = Path(shutil.copytree(release("brats2023_gli", home).root, tmp_path / "data"))
    names = sorted(path.name for path in (root / "test").iterdir())
    assert draw_head
    (root / "train").mkdir()
    for name in names[:2]:
        source = (root / "test" / name).rename(root / "train" / name)
        target = root / "test" / name.replace("-000", "-100")
        target.mkdir()
        for file in source.iterdir():
            shutil.copy(file, target / file.name.replace(name, target.name))
    clean = [name for name in names[:2]]
    errors = [one.message for one in challenge.release.check(root) if one.severity == "error"]
    same = [message for message in errors if "the same image as" in message]
    assert len(same) == 2
    assert all(any(name in message for message in same) for name in clean)
    assert all("in test and train" in message or "in train and test" in message for message in same)


@pytest.mark.parametrize("name", CHALLENGES)
def test_copies_in_two_splits_are_found_in_every_challenge(name, home, tmp_path):
    made_release = release(name, home)
    again = shutil.copytree(made_release.root, tmp_path / "again")
    cases, digest = made_release.cases, made_release.challenge.release.shown_sha256
    copies = made_release.challenge.cases(Path(again), made_release.split)
    assert list(repeated({"test": cases}, digest)) == []
    found = list(repeated({"train": copies[:2], "test": cases[2:]}, digest))
    overlap = {copies[0].group, copies[1].group} & {case.group for case in cases[2:]}
    assert found == [] or overlap
    found = list(repeated({"train": copies[:2], "test": cases}, digest))
    assert len(found) >= 2
    assert {one.severity for one in found} == {"error"}


def mirrored(labels):
    return labels[..., ::-1]


def transposed(labels):
    return np.swapaxes(labels, -1, -2)


def inverted(labels):
    return 1 - labels


@pytest.mark.parametrize("change", [mirrored, inverted], ids=lambda change: change.__name__)
def test_suspicious_predictions_are_told_in_row_record_and_report(home, tmp_path, change):
    made_release = release("cvc_clinicdb", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    challenge = made_release.challenge
    cases = challenge.cases(root, "test")
    for number, case in enumerate(cases):
        mask = np.zeros((24, 32), np.uint8)
        mask[4 + number : 16, 2:12] = 255
        raster.write_label_map(case.reference["labels"], mask)
        labels = (np.roll(mask, 1, 0) > 0).astype(np.uint8)[None]
        answer = Prediction({"label_map": change(labels) if case is cases[0] else labels})
        challenge.write(answer, case, tmp_path / "p")
    finished = evaluate("cvc_clinicdb", tmp_path / "p", data=root)
    flags = [row.evidence.get("flags", []) for row in finished.rows]
    assert [bool(flag) for flag in flags] == [True, False, False, False, False]
    assert change.__name__ in " ".join(flags[0])
    assert flags[0][0].endswith(tuple("0123456789"))
    told = f"{cases[0].id}: {flags[0][0]}"
    assert told in finished.record.settings["notes"]
    assert told in (finished.folder / "report.html").read_text()
    assert finished.exit_code == 0


def test_exchanged_labels_and_transposed_volumes_are_suspicious():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1:3, 2:8, 3:18] = 1
    labels[1:3, 10:18, 2:6] = 2
    exchanged = np.array([0, 2, 1], np.uint8)[labels]
    assert suspicions(labels, exchanged)[0].startswith("with labels exchanged (2 for 1, 1 for 2)")
    assert suspicions(labels, transposed(labels))[0].startswith("with axes 1 and 2 transposed")
    assert suspicions(labels, labels * 0) == suspicions(labels * 0, labels) == []


@pytest.mark.slow
def test_honest_predictions_raise_no_flag(tmp_path, say):
    """Three models that learn from images: a prior of place, a linear classifier, the most similar image."""
    from medbench.challenges.hc18.sample import write_sample

    names = [f"{number:03d}_HC" for number in range(140)]
    write_sample(tmp_path, {"training_set": names}, (54, 80))
    release_of = load_challenge("hc18").release
    cases = [case for split in ("train", "val", "test") for case in release_of.cases(tmp_path, split)]
    images = np.stack([release_of.read_image(case.inputs["image"])[:, :, 0] for case in cases]) / 255.0
    masks = np.stack([release_of.read_reference(case) for case in cases])
    learn, test = slice(0, 70), range(70, 140)
    prior = masks[learn].mean(0)
    rows, columns = np.indices(prior.shape) / max(prior.shape)

    def features(image):
        flat = [
            np.ones_like(image),
            image,
            prior,
            prior**2,
            rows,
            columns,
            rows**2,
            columns**2,
            image * prior,
        ]
        return np.stack(flat, -1).reshape(-1, 9)

    weights = np.linalg.lstsq(
        np.concatenate([features(image) for image in images[learn]]), masks[learn].ravel(), rcond=None
    )[0]
    coarse = images[:, ::6, ::6].reshape(len(images), -1)
    models = {
        "prior": lambda number: prior > 0.5,
        "linear": lambda number: (features(images[number]) @ weights > 0.5).reshape(prior.shape),
        "nearest": lambda number: masks[learn][np.abs(coarse[learn] - coarse[number]).sum(1).argmin()],
    }
    count, flagged, dice = 0, [], []
    for name, predict in models.items():
        for number in test:
            prediction = predict(number).astype(np.uint8)
            flagged += [(name, number, told) for told in suspicions(masks[number], prediction)]
            both = np.count_nonzero(masks[number] & prediction)
            dice.append(2 * both / (masks[number].sum() + prediction.sum()))
            count += 1
    assert count >= 200
    assert flagged == []
    assert 0.5 < np.mean(dice) < 0.99
    say(f"{count} honest predictions of {len(models)} models (mean Dice {np.mean(dice):.2f}), no flag")


def test_the_tables_of_a_release_name_line_and_column(home, tmp_path):
    made_release = release("hc18", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    path = root / "training_set_pixel_size_and_HC.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(",0.", ',"0,').replace(",60", '",60')
    path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    finished = evaluate("hc18", made_release.predictions, data=root)
    assert [row.status for row in finished.rows] == ["ok", "failed", "ok", "ok", "ok"]
    assert "line 3, column 'pixel size(mm)': '0,6' has a decimal comma" in finished.rows[1].reason
    iugc = release("iugc2024", home)
    root = Path(shutil.copytree(iugc.root, tmp_path / "iugc"))
    path = root / "test/cls/cls_label.csv"
    path.write_text(path.read_text().replace(",4,", ",four,", 1))
    with pytest.raises(MedbenchError, match=r"line 2, column 'frame_count': 'four' is no whole number"):
        iugc.challenge.cases(root, "test")
    synapse = release("synapse", home)
    root = Path(shutil.copytree(synapse.root, tmp_path / "synapse"))
    (root / "spacing.csv").write_text("case,z_mm,y_mm,x_mm\ncase0001,3,0,1\n")
    with pytest.raises(MedbenchError, match=r"line 2, column 'y_mm': 0 is not between"):
        synapse.challenge.cases(root, "test")


def test_whatever_a_challenge_raises_fails_one_case_alone(psfhs, monkeypatch):
    """Scoring, the rule for failed cases and illustrations may all break; record and board row are there."""
    made_release, predictions = psfhs
    scorer = type(made_release.challenge.scorer)

    def breaks(self, case, *arguments):
        if case.id == "03201":
            raise SystemExit("a plug-in ends the process")
        return original(self, case, *arguments)

    original = scorer.score_file
    monkeypatch.setattr(scorer, "score_file", breaks)

    def rule(self, case, status, reason):
        raise ZeroDivisionError("rule")

    monkeypatch.setattr(scorer, "score_failed", rule)

    def illustrations(self, case, path):
        raise MemoryError("no picture")

    monkeypatch.setattr(type(made_release.challenge.exchange), "illustrations", illustrations)
    finished = evaluate("psfhs", predictions, data=made_release.root)
    assert finished.exit_code == 1
    assert finished.rows[0].reason == "SystemExit: a plug-in ends the process"
    assert all(score.value is None for score in finished.rows[0].scores.values())
    assert [row.status for row in finished.rows] == ["failed", "ok", "ok", "ok", "ok"]
    assert (finished.folder / "report.html").is_file()
    assert (leaderboards_folder() / "psfhs/results.jsonl").read_text().count("\n") == 1


def test_check_goes_on_after_any_error(home, tmp_path, monkeypatch):
    made_release = release("brats2023_gli", home)
    release_type = type(made_release.challenge.release)

    def breaks(self, case):
        raise RuntimeError("look")

    monkeypatch.setattr(release_type, "check_reference", breaks)
    findings = made_release.challenge.release.check(made_release.root)
    assert sum("RuntimeError: look" in one.message or "TypeError" in one.message for one in findings) == 5


def test_twins_in_a_release_are_refused_and_told(home, tmp_path):
    made_release = release("cvc_clinicdb", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    mask = root / "Ground Truth/104.png"
    (root / "Ground Truth/104.tif").write_bytes(made.tiff())
    (root / "Ground Truth/._109.png").write_bytes(sidecar())
    (root / "Ground Truth/notes.docx").write_bytes(b"x")
    finished = evaluate("cvc_clinicdb", made_release.predictions, data=root)
    assert [row.evidence.get("refusal") for row in finished.rows] == ["file.ambiguous", *[None] * 4]
    assert mask.name in finished.rows[0].reason
    messages = [one.message for one in made_release.challenge.release.check(root)]
    assert any("104.png and 104.tif could be one case" in message for message in messages)
    assert any("notes.docx" in message for message in messages)
    assert any("1 hidden" in message for message in messages)


def test_references_of_other_types_are_read(home, tmp_path):
    made_release = release("brats2023_gli", home)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    right = evaluate("brats2023_gli", made_release.predictions, data=made_release.root)
    for case in made_release.cases[:2]:
        path = root / "test" / case.id / f"{case.id}-seg.nii.gz"
        volume = nifti_mha.read_volume(path)
        nifti_mha.write_volume(path.with_name(f"{case.id}-seg.nrrd"), volume)
        path.unlink()
    finished = evaluate("brats2023_gli", made_release.predictions, data=root)
    assert len(finished.rows) == 5
    assert values(finished.rows) == values(right.rows)
    assert hdf5.SUFFIXES
