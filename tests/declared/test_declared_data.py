"""Data sets that a project file declares: layouts, splits, scores, bad folders."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import medbench
from medbench.cli.main import app
from medbench.core import project
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.project import use_project
from medbench.io import nifti_mha, raster
from medbench.running.declaring import Wishes, declare
from medbench.running.evaluate import evaluate


def _draw(folder, count=10, *, size=(24, 32), channels=3, value=255, patients=5):
    generator = np.random.default_rng(0)
    for index in range(count):
        shape = (*size, 3) if channels == 3 else size
        name = f"p{index % patients}_{index:02}.png"
        raster.write_image(folder / "images" / name, generator.integers(0, 255, shape, np.uint8))
        mask = np.zeros(size, np.uint8)
        mask[4 + index : 12 + index, 5:20] = value
        raster.write_label_map(folder / "masks" / name, mask)
    return folder


def _errors(name):
    challenge = medbench.load_challenge(name)
    findings = challenge.release.check(challenge.release.folder)
    return [finding.message for finding in findings if finding.severity == "error"]


def test_two_trees_become_a_challenge_whose_splits_keep_groups_whole(place):
    _draw(place / "png")
    declared = declare(place / "png", "ours", Wishes(group=r"(p\d)_", labels={"polyp": 255}))
    assert declared.complete
    challenge = medbench.load_challenge("ours")
    splits = json.loads((place / "ours.splits.json").read_text())["splits"]
    groups = [{case[:2] for case in ids} for ids in splits.values()]
    assert sum(map(len, splits.values())) == 10
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert "ours" in medbench.list_challenges()
    assert [spec.convention for spec in challenge.metrics] == ["dice", "iou", "hd95.pooled"]
    assert _errors("ours") == []


def test_the_reference_scores_one_and_a_missing_case_the_worst(place):
    _draw(place / "png")
    declare(place / "png", "ours", Wishes(labels={"polyp": 255}))
    challenge = medbench.load_challenge("ours")
    cases = challenge.cases(place / "png", "test")
    (place / "theirs").mkdir()
    kept = cases[0]
    mask = raster.read_label_map(kept.reference["labels"])
    raster.write_label_map(place / "theirs" / f"{kept.id}.png", mask)
    finished = evaluate("ours", place / "theirs")
    rows = {row.case: row for row in finished.rows}
    assert rows[kept.id].scores["dice"].value == 1
    assert rows[kept.id].scores["hd95_pooled"].value == 0
    missing = rows[cases[1].id].scores
    assert missing["dice"].value == 0
    assert missing["hd95_pooled"].value == pytest.approx(np.hypot(24, 32))
    assert finished.exit_code == 1


def test_splits_are_never_drawn_anew_and_an_edited_file_is_refused(place):
    _draw(place / "png")
    declare(place / "png", "ours")
    before = (place / "ours.splits.json").read_bytes()
    raster.write_image(place / "png/images/p9_99.png", np.zeros((24, 32, 3), np.uint8))
    raster.write_label_map(place / "png/masks/p9_99.png", np.zeros((24, 32), np.uint8))
    challenge = medbench.load_challenge("ours")
    ids = [case.id for split in challenge.release.splits for case in challenge.cases(place / "png", split)]
    assert "p9_99" not in ids
    assert (place / "ours.splits.json").read_bytes() == before
    kept = json.loads(before)
    kept["splits"]["test"].append(kept["splits"]["train"].pop())
    (place / "ours.splits.json").write_text(json.dumps(kept))
    with pytest.raises(MedbenchError, match="not those of its hash") as error:
        challenge.cases(place / "png", "test")
    assert error.value.code == "splits.changed"


def test_another_seed_in_the_declaration_does_not_redraw(place):
    _draw(place / "png")
    declare(place / "png", "ours")
    file = place / "medbench.toml"
    file.write_text(file.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(MedbenchError) as error:
        medbench.load_challenge("ours").cases(place / "png", "test")
    assert error.value.code == "splits.changed"


def test_data_without_groups_say_so_and_training_comes_before_the_run(place):
    _draw(place / "png")
    lines = declare(place / "png", "ours").lines
    (groups,) = (line for line in lines if line.startswith("groups: none"))
    assert "--group" in groups
    assert [line.split("medbench ")[1] for line in lines[-3:]] == [
        "data check ours", "train -m smp/unet -c ours", "run -m smp/unet -c ours"
    ]  # fmt: skip
    lines = declare(place / "png", "by_patient", Wishes(group=r"(p\d+)_")).lines
    assert not any(line.startswith("groups: none") for line in lines)


def test_structures_without_names_are_named_by_their_values_and_that_is_said(place):
    _draw(place / "png")
    lines = declare(place / "png", "ours").lines
    (labels,) = (line for line in lines if line.startswith("labels: "))
    assert "structure = " in labels
    (value,) = project.read_project(place / "medbench.toml").data["ours"]["labels"].values()
    lines = declare(place / "png", "with_names", Wishes(labels={"polyp": value})).lines
    assert not any(line.startswith("labels: ") for line in lines)


def test_folds_test_every_case_once(place):
    _draw(place / "png")
    declare(place / "png", "ours", Wishes(folds=5, group=r"(p\d)_"))
    challenge = medbench.load_challenge("ours")
    every = [case.id for case in challenge.cases(place / "png", "folds")]
    assert len(every) == 10
    assert len({name.partition("/")[2] for name in every}) == 10
    for fold in challenge.release.parts("folds"):
        training = challenge.release.training_split_of(fold)
        own = {case.group for case in challenge.cases(place / "png", fold)}
        assert not own & {case.group for case in challenge.cases(place / "png", training)}
        assert challenge.release.overlap(training, "folds")
        assert not challenge.release.overlap(training, fold)


def test_images_without_masks_and_the_reverse_are_counted_and_named(place):
    folder = _draw(place / "png", 10)
    for name in ("p0_00", "p1_01"):
        (folder / f"masks/{name}.png").unlink()
    (folder / "images/p2_02.png").unlink()
    declared = declare(folder, "ours")
    told = "\n".join(declared.lines)
    assert not declared.complete
    assert "2 images have no mask: images/p0_00.png, images/p1_01.png." in told
    assert "1 mask has no image: masks/p2_02.png." in told
    assert "2 of 9 images have no mask: p0_00, p1_01." in _errors("ours")
    assert "1 mask has no image: p2_02.png." in _errors("ours")


def test_groups_in_two_splits_are_named(place):
    for split in ("train", "test"):
        _draw(place / "png" / split, 4, patients=2)
    declare(place / "png", "ours", Wishes(group=r"(p\d)_"))
    assert medbench.load_challenge("ours").release.default_split == "test"
    assert "2 of 2 groups lie in more than one split: p0, p1." in _errors("ours")
    for command in (["run", "-m", "baseline/constant"], ["train", "-m", "baseline/constant"]):
        told = CliRunner().invoke(app, [*command, "-c", "ours"])
        assert told.exception.code == "splits.group_shared"
        assert "2 of 2 groups lie in more than one split: p0, p1." in told.exception.message


def test_a_label_value_without_a_name_fails_its_case_alone(place):
    folder = _draw(place / "png")
    declare(folder, "ours", Wishes(labels={"polyp": 255}))
    odd = np.zeros((24, 32), np.uint8)
    odd[3:5, 3:5] = 7
    challenge = medbench.load_challenge("ours")
    case = challenge.cases(folder, "test")[0]
    raster.write_label_map(case.reference["labels"], odd)
    errors = _errors("ours")
    assert len(errors) == 1
    assert f"{case.id}.png: holds the value 7" in errors[0]
    scores = challenge.scorer.score_failed(case, "failed", "x").scores
    assert all(score.status == "undefined" for score in scores.values())


def test_values_that_the_given_names_leave_out_are_told_on_declaring(place):
    folder = _draw(place / "png")
    odd = np.zeros((24, 32), np.uint8)
    odd[3:5, 3:5], odd[7, 7] = 9, 255
    raster.write_label_map(folder / "masks/p0_00.png", odd)
    declared = declare(folder, "ours", Wishes(labels={"polyp": 255}))
    assert not declared.complete
    error = "error: Masks hold values that no name has: 9. Name them in medbench.toml, under labels."
    assert error in declared.lines


def test_mixed_channels_and_other_sizes_are_errors(place):
    folder = _draw(place / "png")
    raster.write_image(folder / "images/p0_00.png", np.zeros((24, 32), np.uint8))
    raster.write_label_map(folder / "masks/p1_01.png", np.zeros((8, 8), np.uint8))
    declared = declare(folder, "ours")
    assert any("mixed numbers of channels: 1 with 1 and 9 with 3" in line for line in declared.lines)
    errors = _errors("ours")
    assert any("mixed numbers of channels" in error and "p0_00" in error for error in errors)
    assert any("p1_01.png: is 8×8 where its image is 24×32" in error for error in errors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('metrics = ["hd95"]', "Name its convention: hd95.area"),
        ('metrics = ["nsd.area"]', "write nsd.area@2px"),
        ("lables = {}", "Did you mean labels"),
        ('labels = { a = 1, b = 1 }', "value of its own"),
        ('group = "p"', "Capture one"),
        ('images = "/etc/{case}.png"', "images/{case}.png"),
        ('empty = { dice = "never" }', "Known: definition"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_by_name(place, change, words):
    _draw(place / "png", 2)
    entries = {"root": '"png"', "images": '"images/{case}.png"', "masks": '"masks/{case}.png"',
               "labels": "{ polyp = 255 }"}  # fmt: skip
    key, _, value = change.partition(" = ")
    entries[key] = value
    lines = [f"{name} = {text}" for name, text in entries.items()]
    (place / "medbench.toml").write_text("\n".join(["[data.ours]", *lines]))
    with pytest.raises(MedbenchError) as error:
        medbench.load_challenge("ours")
    assert words in f"{error.value.message} {error.value.hint}"


def test_a_folder_as_a_challenge_says_what_to_do(place):
    (place / "png").mkdir()
    with pytest.raises(MedbenchError) as error:
        medbench.load_challenge("png")
    assert error.value.message == "'png' is no challenge, but it is a folder."
    assert error.value.hint == "For your own data: medbench data init png."


def test_a_broken_project_file_names_its_line_and_leaves_other_challenges_alone(place):
    (place / "medbench.toml").write_text("[data.x\n")
    assert medbench.load_challenge("isic2018").name == "isic2018"
    with pytest.raises(MedbenchError, match="line 1") as error:
        medbench.load_challenge("x")
    assert error.value.code == "project.syntax"


def test_folders_of_classes_and_a_table_of_paths(place):
    generator = np.random.default_rng(0)
    lines = ["image,class,patient"]
    for name in ("benign", "malignant"):
        for index in range(5):
            image = generator.integers(0, 255, (16, 16, 3), np.uint8)
            raster.write_image(place / "cls" / name / f"{index}.png", image)
            raster.write_image(place / "csv" / f"{name}{index}.png", image)
            lines.append(f"{name}{index}.png,{name},q{index}")
    (place / "csv/cases.csv").write_text("\n".join(lines) + "\n")
    for folder in ("cls", "csv"):
        with pytest.raises(MedbenchError, match="names the values of label maps") as caught:
            declare(place / folder, "ours", Wishes(labels={"a": 1, "b": 2}))
        assert caught.value.code == "option.ignored"
    declare(place / "cls", "by_folder")
    declare(place / "csv", "by_table")
    for name in ("by_folder", "by_table"):
        challenge = medbench.load_challenge(name)
        assert challenge.card.image_classes == ("benign", "malignant")
        assert _errors(name) == []
    groups = {case.group for case in medbench.load_challenge("by_table").cases(place / "csv", "train")}
    assert groups <= {f"q{index}" for index in range(5)}


def _volume(path, array):
    direction = tuple(np.eye(3).ravel().tolist())
    nifti_mha.write_volume(path, Volume(array, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction))


def test_nnunet_and_msd_layouts_go_there_and_back(place):
    from medbench.core.progress import SilentProgress
    from medbench.running.export_data import export_data
    from medbench.running.request import CaseRequest

    generator = np.random.default_rng(0)
    for index in range(6):
        labels = np.zeros((1 if index == 0 else 5, 12, 12), np.uint8)
        labels[:, index : index + 4, 3:8] = 1
        _volume(place / f"Dataset007_Own/labelsTr/a_{index}.nii.gz", labels)
        for channel in range(2):
            array = generator.integers(1, 900, labels.shape).astype(np.int16)
            _volume(place / f"Dataset007_Own/imagesTr/a_{index}_{channel:04}.nii.gz", array)
    facts = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "tumour": 1},
             "numTraining": 6, "file_ending": ".nii.gz"}  # fmt: skip
    (place / "Dataset007_Own/dataset.json").write_text(json.dumps(facts))
    declare(place / "Dataset007_Own", "own")
    challenge = medbench.load_challenge("own")
    assert tuple(challenge.card.modalities) == ("T1", "T2")
    assert _errors("own") == []
    splits = ("train", "val", "test")
    every = [case for split in splits for case in challenge.cases(place / "Dataset007_Own", split)]
    originals = {case.id: case for case in every}
    for layout, name in (("nnunet", "Dataset008_Back"), ("msd", "Task08_Back")):
        count, failures = export_data(CaseRequest(challenge="own"), layout, place / name, SilentProgress())
        assert (count, failures) == (6, [])
        declare(place / name, layout)
        again = medbench.load_challenge(layout)
        names = json.loads((place / name / "cases.json").read_text())
        for case in again.cases(place / name, "train"):
            first = originals[names[case.id]["id"]]
            ours = challenge.exchange.inputs["volume"].read(first)
            theirs = again.exchange.inputs["volume"].read(case)
            np.testing.assert_array_equal(ours.volumes, theirs.volumes)
            assert theirs.spacing_mm == (2.0, 1.0, 1.0)


def test_a_project_is_found_upwards_and_can_be_given(place, monkeypatch):
    monkeypatch.setattr(project, "_override", None)
    _draw(place / "png")
    declare(place / "png", "ours")
    (place / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(place / "deep/er")
    assert medbench.load_challenge("ours").name == "ours"
    monkeypatch.chdir("/")
    assert "ours" not in medbench.list_challenges()
    use_project(place / "medbench.toml")
    assert medbench.load_challenge("ours").name == "ours"


def test_the_next_commands_say_where_they_hold(place, monkeypatch):
    """Field case: for a project elsewhere they named a challenge that the working folder does not know."""
    monkeypatch.setattr(project, "_override", None)
    monkeypatch.chdir(place)
    _draw(place / "png")
    here = [line for line in declare(place / "png", "ours").lines if "medbench " in line]
    assert here[-3].startswith("next: medbench data check ours")
    elsewhere = place / "other project"
    elsewhere.mkdir()
    lines = declare(place / "png", "ours", file=elsewhere / "medbench.toml").lines
    assert lines[-4:-2] == [f"next: cd '{elsewhere}'", "      medbench data check ours"]
    with pytest.raises(MedbenchError, match="no command would find it"):
        declare(place / "png", "theirs", file=place / "other.toml")
    assert not (place / "other.toml").exists()


def test_several_files_of_one_image_in_nnunets_layout_are_refused_by_name(place):
    folder = place / "Dataset009_Flat"
    for index in range(3):
        for channel in range(2):
            image = np.full((8, 8), 10 * index + channel, np.uint8)
            raster.write_image(folder / f"imagesTr/b_{index}_{channel:04}.png", image)
        raster.write_label_map(folder / f"labelsTr/b_{index}.png", np.eye(8, k=index, dtype=np.uint8))
    facts = {"channel_names": {"0": "red", "1": "blue"}, "labels": {"background": 0, "cell": 1},
             "numTraining": 3, "file_ending": ".png"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts))
    with pytest.raises(MedbenchError, match=r"b_0_0001\.png: is the channel 1 of an image") as error:
        declare(folder, "flat")
    assert error.value.code == "data.channels"
    assert not (place / "medbench.toml").exists()
    for path in (folder / "imagesTr").glob("*_0001.png"):
        path.unlink()
    declare(folder, "flat")
    assert _errors("flat") == []


def test_a_volume_of_a_channel_that_no_modality_names_is_refused(place):
    folder = place / "Dataset010_More"
    for index in range(3):
        labels = np.zeros((3, 8, 8), np.uint8)
        labels[1, 2:4, 2:4] = 1
        _volume(folder / f"labelsTr/c_{index}.nii.gz", labels)
        for channel in range(2):
            _volume(folder / f"imagesTr/c_{index}_{channel:04}.nii.gz", labels.astype(np.int16))
    facts = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 3,
             "file_ending": ".nii.gz"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts))
    with pytest.raises(MedbenchError, match=r"c_0_0001\.nii\.gz: is the channel 1, more declares 1"):
        declare(folder, "more")


def test_suffixes_in_capitals_are_found(place):
    _draw(place / "png")
    for path in (place / "png").rglob("*.png"):
        path.rename(path.with_suffix(".PNG"))
    declare(place / "png", "ours", Wishes(labels={"polyp": 255}))
    assert _errors("ours") == []


def test_a_group_in_no_name_is_refused_and_one_in_some_is_told(place):
    _draw(place / "png")
    with pytest.raises(MedbenchError, match="is in no case's name, for example p0_00") as refused:
        declare(place / "png", "ours", Wishes(group=r"q(\d)"))
    assert refused.value.code == "data.group"
    assert not (place / "medbench.toml").exists()
    declared = declare(place / "png", "ours", Wishes(group=r"(p[1-4])_"))
    assert any(line.startswith("warning: 2 of 10 cases match no group") for line in declared.lines)


def test_a_refused_declaration_is_not_written(place):
    _draw(place / "png", count=1)
    with pytest.raises(MedbenchError, match="1 group with a reference is too few") as refused:
        declare(place / "png", "ours")
    assert refused.value.code == "splits.few"
    assert not (place / "medbench.toml").exists()
    _draw(place / "png")
    assert declare(place / "png", "ours").complete


def test_images_to_predict_without_labels_are_left_out_of_nnunets_layout(place):
    folder = place / "Dataset501_Toy"
    for index in range(8):
        labels = np.zeros((6, 8, 8), np.uint8)
        labels[1:4, 1 + index % 3 : 6, 2:5] = 1
        _volume(folder / f"imagesTr/t_{index:03}_0000.nii.gz", labels.astype(np.int16) + index)
        _volume(folder / f"labelsTr/t_{index:03}.nii.gz", labels)
    _volume(folder / "imagesTs/t_100_0000.nii.gz", np.ones((6, 8, 8), np.int16))
    (folder / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "MR"}, "labels": {"background": 0, "organ": 1}, "numTraining": 8,
                "file_ending": ".nii.gz",
            }
        )
    )  # fmt: skip
    declared = declare(folder, "toy")
    assert any("1 file in imagesTs has no labels and is left out" in line for line in declared.lines)
    assert not [message for message in _errors("toy") if "no mask" in message]


def test_a_comparison_says_how_many_cases_were_lost(place):
    _draw(place / "png")
    declare(place / "png", "ours", Wishes(labels={"polyp": 255}, folds=2))
    cases = medbench.load_challenge("ours").cases(place / "png", "folds")
    folders = []
    for name, kept in (("all", cases), ("part", cases[2:])):
        for case in kept:
            mask = raster.read_label_map(case.reference["labels"])
            raster.write_label_map(place / name / f"{case.id}.png", mask)
        evaluated = evaluate("ours", place / name, split="folds")
        folders.append(str(evaluated.folder))
    told = CliRunner().invoke(app, ["compare", *folders])
    assert told.exit_code == 0, told.output
    assert "0 failed and 2 missing of 10 cases" in " ".join(told.output.split())


@pytest.mark.parametrize(
    ("image", "mask", "templates"),
    [
        ("p{p}/images/{i}.png", "p{p}/masks/{i}.png", "{group}/images/{case}.png {group}/masks/{case}.png"),
        ("images/p{p}/{i}.png", "gt/p{p}/{i}_gt.png", "images/{group}/{case}.png gt/{group}/{case}_gt.png"),
        ("p{p}/{i}.png", "p{p}/{i}_mask.png", "{group}/{case}.png {group}/{case}_mask.png"),
        ("c{p}{i}/image.png", "c{p}{i}/mask.png", "{case}/image.png {case}/mask.png"),
        ("c{p}{i}_image.png", "c{p}{i}_seg.png", "{case}_image.png {case}_seg.png"),
        ("a/images/{p}{i}.png", "b/masks/{p}{i}.png", "a/images/{case}.png b/masks/{case}.png"),
    ],
)
def test_a_folder_a_patient_is_the_group_and_no_image_is_lost(place, image, mask, templates):
    for p in range(5):
        for i in range(2):
            raster.write_image(
                place / "png" / image.format(p=p, i=i), np.full((8, 9, 3), 20 * p + i, np.uint8)
            )
            raster.write_label_map(place / "png" / mask.format(p=p, i=i), np.eye(8, 9, k=i, dtype=np.uint8))
    declared = declare(place / "png", "ours")
    assert declared.lines[0].endswith(f"10 images with masks, as {' and '.join(templates.split())}.")
    challenge = medbench.load_challenge("ours")
    cases = {split: challenge.cases(place / "png", split) for split in ("train", "val", "test")}
    assert sum(map(len, cases.values())) == 10
    if "{group}" in templates:
        groups = [{case.group for case in own} for own in cases.values()]
        assert set.union(*groups) == {f"p{p}" for p in range(5)}
        assert sum(map(len, groups)) == 5


def test_folders_that_no_one_template_names_are_refused(place):
    for p in range(4):
        for folder, own in (("images", f"x{p % 2}/y{p}"), ("masks", f"x{p % 2}/y{p}")):
            raster.write_label_map(place / "png" / own / folder / f"{p}.png", np.eye(8, dtype=np.uint8))
    with pytest.raises(
        MedbenchError, match=r"4 images with masks lie in 8 folders \(x0/y0/images, "
    ) as error:
        declare(place / "png", "ours")
    assert error.value.code == "data.layout_unknown"
    assert not (place / "medbench.toml").exists()


def test_sidecars_of_macos_are_no_cases_of_nnunets_layout(place):
    folder = place / "Dataset011_Own"
    for index in range(5):
        labels = np.zeros((3, 8, 8), np.uint8)
        labels[1, index : index + 3, 2:4] = 1
        for name in (f"labelsTr/c_{index}", f"imagesTr/c_{index}_0000"):
            _volume(folder / f"{name}.nii.gz", labels)
            path = folder / f"{name}.nii.gz"
            path.with_name(f"._{path.name}").write_bytes(b"\0" * 4096)
    facts = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 5,
             "file_ending": ".nii.gz"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts))
    (folder / "._dataset.json").write_bytes(b"\0" * 4096)
    declare(folder, "own")
    challenge = medbench.load_challenge("own")
    cases = [case.id for split in challenge.release.splits for case in challenge.cases(folder, split)]
    assert sorted(cases) == [f"c_{index}" for index in range(5)]
    assert _errors("own") == []


def test_a_seed_for_splits_that_the_data_give_is_refused(place):
    for split in ("train", "test"):
        _draw(place / "png" / split, 4, patients=2)
    with pytest.raises(MedbenchError, match="--seed has no effect: the splits test, train are given"):
        declare(place / "png", "ours", Wishes(seed=3))
