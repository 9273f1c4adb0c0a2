"""Folders as newcomers have them: spreadsheets with semicolons, umlauts, spaces, capitals, palette masks."""

import json

import cv2
import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.running.declaring import Wishes, declare


def _pair(image, mask, seed):
    generator = np.random.default_rng(seed)
    raster.write_image(image, generator.integers(0, 255, (24, 32, 3), np.uint8))
    labels = np.zeros((24, 32), np.uint8)
    labels[seed % 9 : 12 + seed % 9, 5 : 20 + seed // 9] = 255
    raster.write_label_map(mask, labels)


def _errors(name):
    release = medbench.load_challenge(name).release
    return [finding.message for finding in release.check(release.folder) if finding.severity == "error"]


def _write_table(folder, head="image;mask;patient;split", slash="\\", leak=False):
    lines = [head]
    for index in range(8):
        _pair(folder / f"dat/Bild_{index}.tif", folder / f"dat/Maske_{index}.tif", index)
        split = "Test" if index > 5 or (leak and index == 1) else "Training"
        lines.append(f"dat{slash}Bild_{index}.tif;dat{slash}Maske_{index}.tif;P{index // 2};{split}")
    (folder / "Liste.CSV").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize("head", ["image;mask;patient;split", "Bild;Maske;Patient;Split"])
def test_a_table_as_spreadsheets_write_it(place, head):
    _write_table(place / "daten", head)
    declared = declare(place / "daten", "ours")
    assert declared.complete, declared.lines
    challenge = medbench.load_challenge("ours")
    test = challenge.cases(place / "daten", "Test")
    assert [case.id for case in test] == ["dat/Bild_6", "dat/Bild_7"]
    assert {case.group for case in test} == {"P3"}
    assert _errors("ours") == []


def test_a_leak_is_told_on_declaring(place):
    _write_table(place / "daten", leak=True)
    declared = declare(place / "daten", "ours")
    assert not declared.complete
    assert any("error: 1 of 4 groups lies in more than one split: P0." in line for line in declared.lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b"Bild_3", b"Bild_\xfc"), "line 5 is not UTF-8 text"),
        ((b"P1;Training", b"P1"), "line 4: 3 values where the header has 4 columns"),
        ((b"patient", b"mask"), "where the header has 3 columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(place, change, words):
    _write_table(place / "daten")
    table = place / "daten/Liste.CSV"
    table.write_bytes(table.read_bytes().replace(*change, 1))
    with pytest.raises(MedbenchError) as error:
        declare(place / "daten", "ours")
    assert "Liste.CSV" in error.value.message
    assert words in error.value.message


def test_a_column_that_a_declared_table_lacks_is_named(place):
    _write_table(place / "daten")
    declare(place / "daten", "ours")
    project = place / "medbench.toml"
    project.write_text(project.read_text().replace('split = "split"', 'split = "fold"'))
    with pytest.raises(MedbenchError, match="has no column 'fold', only image, mask, patient, split"):
        medbench.load_challenge("ours").cases(place / "daten", "Test")


@pytest.mark.parametrize(
    ("image", "mask", "templates"),
    [
        ("{}.jpg", "{}_Mask.png", ["{case}.jpg", "{case}_Mask.png"]),
        ("{}_IMG.bmp", "{}_SEG.PNG", ["{case}_IMG.bmp", "{case}_SEG.png"]),
        ("Images/{}.png", "Masks/{}_MASK.png", ["Images/{case}.png", "Masks/{case}_MASK.png"]),
        ("Bilder/{}.png", "Masken/{}.png", ["Bilder/{case}.png", "Masken/{case}.png"]),
        ("Image_{}.png", "mask_{}.png", ["Image_{case}.png", "mask_{case}.png"]),
        ("{}.jpg", "SEG_{}.png", ["{case}.jpg", "SEG_{case}.png"]),
    ],
)
def test_names_in_capitals_and_in_german(place, image, mask, templates):
    for index in range(10):
        _pair(
            place / "png" / image.format(f"Fall {index}"), place / "png" / mask.format(f"Fall {index}"), index
        )
    declare(place / "png", "ours")
    declaration = medbench.load_challenge("ours").release.declaration
    assert [declaration.images, declaration.masks] == templates
    assert _errors("ours") == []


def test_a_folder_with_umlauts_and_spaces(place):
    for index in range(10):
        name = f"Patient {index // 2} Aufnahme {index % 2}"
        _pair(place / f"Prüfung Köln/images/{name}.PNG", place / f"Prüfung Köln/masks/{name}.png", index)
    declared = declare(place / "Prüfung Köln", wishes=Wishes(group=r"Patient (\d+)"))
    assert declared.name == "pruefung_koeln"
    assert json.loads((place / "pruefung_koeln.splits.json").read_text())["splits"]
    from medbench.running.run import run

    with pytest.raises(MedbenchError) as error:
        run("baseline/constant", "pruefung_koeln")
    assert "(medbench train -m baseline/constant -c pruefung_koeln)" in error.value.hint
    with pytest.raises(MedbenchError) as error:
        run("baseline/constant", "pruefung_koeln", data=place / "Prüfung Köln/../Prüfung Köln")
    assert "--data '" in error.value.hint


def test_palette_masks_are_refused_with_the_reason(place):
    for index in range(10):
        _pair(place / f"png/images/{index}.png", place / f"png/masks/{index}.png", index)
    colours = np.zeros((24, 32, 3), np.uint8)
    colours[4:9, 4:9] = 0, 0, 200
    for index in range(10):
        cv2.imwrite(str(place / f"png/masks/{index}.png"), colours)
    with pytest.raises(MedbenchError) as error:
        declare(place / "png", "ours")
    assert error.value.message.startswith("10 of 10 masks cannot be read, the first: ")
    assert "0.png: is a colour image" in error.value.message
    assert "palette image" in error.value.hint
    _pair(place / "png/images/3.png", place / "png/masks/3.png", 3)
    declared = declare(place / "png", "ours")
    assert sum("9 of 10 masks cannot be read" in line for line in declared.lines) == 1


def test_label_values_beyond_a_byte_and_values_of_deep_images(place):
    import tifffile

    for index in range(10):
        _pair(place / f"png/images/{index}.tif", place / f"png/masks/{index}.png", index)
        tifffile.imwrite(
            place / f"png/images/{index}.tif", np.linspace(0, 1, 768, dtype=np.float32).reshape(24, 32)
        )
    declare(place / "png", "shares")
    assert medbench.load_challenge("shares").release.declaration.values == (0, 1)
    for index in range(10):
        depth = np.linspace(-900, 2000.5, 768, dtype=np.float32).reshape(24, 32)
        tifffile.imwrite(place / f"png/images/{index}.tif", depth)
    lines = declare(place / "png", "depths").lines
    assert any("hold values from -900 to 2000.5. values = [-900, 2001]" in line for line in lines)
    cv2.imwrite(str(place / "png/masks/3.png"), np.full((24, 32), 1000, np.uint16))
    with pytest.raises(MedbenchError, match=r"masks hold the values 255, 1000; label values are 0 to 255"):
        declare(place / "png", "wrong")


def test_imagestr_without_dataset_json_is_told(place):
    (place / "Task/imagesTr").mkdir(parents=True)
    (place / "Task/imagesTr/a_0000.nii.gz").write_bytes(b"")
    with pytest.raises(MedbenchError, match=r"has imagesTr, .* and no dataset\.json"):
        declare(place / "Task")


def test_a_project_file_as_a_windows_editor_saves_it(place):
    for index in range(10):
        _pair(place / f"png/images/{index}.png", place / f"png/masks/{index}.png", index)
    declare(place / "png", "ours")
    project = place / "medbench.toml"
    project.write_bytes(b"\xef\xbb\xbf" + project.read_text().replace("\n", "\r\n").encode())
    assert _errors("ours") == []
    declare(place / "png", "again")
    assert {"ours", "again"} <= set(medbench.list_challenges())


@pytest.mark.parametrize(
    ("names", "table", "words"),
    [
        (("images/im{}.png", "masks/ma{}.png"), None, "of 4 images and 4 masks none share a name"),
        (("a/{}.png", "b/{}.png"), "file,weight\na/0.png,3\n", "has a column of images (file) and none"),
        (("a/{}.png", "b/{}.png"), "image,mask\n{}/a/0.png,b/0.png\n", "is an absolute path"),
        (("a/{}.png", "b/{}.png"), "image,mask\n../a/0.png,b/0.png\n", "leads out of the folder"),
    ],
)  # fmt: skip
def test_folders_that_are_nearly_known_are_refused_with_what_they_lack(place, names, table, words):
    for index in range(4):
        _pair(*(place / "png" / name.format(index) for name in names), index)
    (place / "a").mkdir()
    (place / "a/0.png").write_bytes((place / "png" / names[0].format(0)).read_bytes())
    if table is not None:
        (place / "png/list.csv").write_text(table.format(place / "png"))
    with pytest.raises(MedbenchError) as error:
        declare(place / "png", "ours")
    assert words in error.value.message
    assert not (place / "medbench.toml").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "dataset.json",
            '{"labels": {"background": 0, "t": 1}}',
            "names no channels: channel_names (nnU-Net)",
        ),
        ("a.json", '{"images": [], "annotations": [], "categories": []}', "a.json: names no category."),
    ],
)
def test_json_that_lacks_a_list_is_told_which(place, name, text, words):
    (place / "png").mkdir()
    (place / "png" / name).write_text(text)
    with pytest.raises(MedbenchError) as error:
        declare(place / "png", "ours")
    assert words in error.value.message


def test_images_of_types_that_are_not_read_are_named(place):
    """Else a data set would lose them without a word."""
    for index in range(8):
        _pair(place / f"own/images/s{index}.png", place / f"own/masks/s{index}.png", index)
    for name in ("images/s8.webp", "masks/s9.gif", "images/s10.dcm"):
        (place / "own" / name).write_bytes(b"x")
    (place / "own/readme.txt").write_text("about")
    declaration = declare(place / "own", "own", Wishes())
    (told,) = [line for line in declaration.lines if line.startswith("error:")]
    assert "3 files are of types that are not read" in told
    assert all(name in told for name in ("s8.webp", "s9.gif", "s10.dcm"))
    assert not declaration.complete
