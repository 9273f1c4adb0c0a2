"""Writers of tiny releases of radiographs: so many images of the test split in the released layout."""

from gate_writers import disc, noise, table

from medbench.challenges.chexpert.files import LABELS
from medbench.challenges.covidx.files import CLASSES
from medbench.challenges.families.radiographs import hashed_split
from medbench.challenges.mimic_cxr import files as mimic_files
from medbench.challenges.mimic_cxr.pairs import PREFIX
from medbench.challenges.rsna_pneumonia.table import FOLDER, SHARE, TABLE
from medbench.challenges.siim_pneumothorax.files import COLUMNS, FOLDERS, TABLES
from medbench.challenges.siim_pneumothorax.run_lengths import EMPTY, encode_runs
from medbench.challenges.simulators.radiograph_files import write_dicom
from medbench.core.files import write_text
from medbench.io import raster

SHAPE = (24, 28)


def chexpert(root, count):
    rows = []
    for number in range(count):
        inside = f"CheXpert-v1.0-small/valid/patient{64500 + number}/study1/view1_frontal.jpg"
        raster.write_image(root / inside, noise(number, *SHAPE))
        shown = [float((number >> label) & 1) for label in range(len(LABELS))]
        rows.append([inside, "Female", 60, "Frontal", "AP", *shown])
    columns = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS]
    table(root / "CheXpert-v1.0-small/valid.csv", columns, rows)


def covidx(root, count):
    lines = []
    for number in range(count):
        raster.write_image(root / "test" / f"{number}.png", noise(number, *SHAPE))
        lines.append(f"{number} {number}.png {CLASSES[number % len(CLASSES)]} phantom\n")
    write_text(root / "test_COVIDx9A.txt", "".join(lines))


def mimic(root, count):
    rows, findings = [], []
    for number in range(count):
        patient, study, name = f"{12000000 + number}", f"{52000000 + number}", f"{number:040x}"
        folder = root / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}"
        raster.write_image(folder / f"{name}.jpg", noise(number, *SHAPE))
        shown = number % len(mimic_files.CLASSES)
        cells = ["1.0" if index == shown else "" for index in range(len(mimic_files.CLASSES))]
        rows.append([name, study, patient, "test", "PA"])
        findings.append([patient, study, *cells])
    columns = ["dicom_id", "study_id", "subject_id", "split", "ViewPosition"]
    table(root / f"{PREFIX}split.csv", columns[:4], [row[:4] for row in rows])
    table(root / f"{PREFIX}metadata.csv", columns, rows)
    table(root / f"{PREFIX}chexpert.csv", ["subject_id", "study_id", *mimic_files.CLASSES], findings)


def object_cxr(root, count):
    rows = []
    for number in range(count):
        raster.write_image(root / "dev" / f"{8000 + number:05}.jpg", noise(number, *SHAPE))
        rows.append([f"{8000 + number:05}.jpg", "0 3 4 20 19" if number % 3 else ""])
    table(root / "dev.csv", ["image_name", "annotation"], rows)


def names_of_test(count):
    """Names whose hash makes them test images."""
    names = (f"1.2.{number}" for number in range(100 * count))
    return [name for name in names if hashed_split(name, SHARE, SHARE) == "test"][:count]


def rsna(root, count):
    rows = []
    for number, name in enumerate(names_of_test(count)):
        write_dicom(root / FOLDER / f"{name}.dcm", noise(number, *SHAPE), f"1.2.3.{number}")
        rows.append([name, 3, 4, 15, 12, 1] if number % 2 else [name, "", "", "", "", 0])
    table(root / TABLE, ["patientId", "x", "y", "width", "height", "Target"], rows)


def siim(root, count):
    rows = []
    for number, name in enumerate(names_of_test(count)):
        path = root / FOLDERS[0] / f"{name}.1" / f"{name}.2" / f"{name}.dcm"
        write_dicom(path, noise(number, *SHAPE), name)
        air = number % 2
        rows.append([name, encode_runs(disc(number, SHAPE).astype(bool)) if air else EMPTY])
    table(root / TABLES[0], COLUMNS, rows)
