"""KPIs 2024 patches: layouts, masks, both Dice rules, bad files, learning."""

import shutil

import cv2
import numpy as np
import pytest

from golden_files import golden
from medbench.challenges import load_challenge, load_data_set
from medbench.challenges.kpis import files as layout
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.io import raster
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.samples import sample_folder

KPIS, MASKS = golden("kpis_metrics.json"), golden("kpis_masks.npz")
MODEL, FAST = "dssau_net.test", Inference(image_size=128)
PATCH = load_challenge("kpis_patch")


@pytest.fixture
def release(small_kpis, tmp_path):
    """A copy of the test patches that a test may damage."""
    return shutil.copytree(small_kpis / "KPIs24 Testing Data", tmp_path / "KPIs24 Testing Data")


def perfect(root, folder):
    """The references as predictions."""
    for case in PATCH.cases(root, "test"):
        mask = cv2.imread(str(case.reference["mask"]), 0) > 127
        raster.write_label_map(folder / PATCH.exchange.prediction_name(case), mask.astype(np.uint8) * 255)
    return folder


@pytest.mark.parametrize("case", KPIS["patches"]["cases"], ids=lambda case: case["id"])
def test_both_dice_rules_on_jpeg_masks(case):
    scores = PATCH.score_arrays(MASKS[f"{case['id']}__gt_jpeg"], MASKS[f"{case['id']}__pred"])
    if case["dice"] == "nan":
        assert {score.status for score in scores.values()} == {"undefined"}
        assert {score.value for score in scores.values()} == {None}
        return
    assert scores["dice_kpis_docker"].value == pytest.approx(case["dice"], abs=1e-6)
    assert scores["dice"].value == pytest.approx(case["dice_after_binarising_at_127"], abs=1e-9)


def test_patches_overlap_by_half_and_belong_to_their_slides(small_kpis):
    cases = PATCH.cases(small_kpis, "test")
    assert len(cases) == 27
    assert len({case.group for case in cases}) == 3
    first, right = (PATCH.read(case).images[0] for case in cases[:2])
    assert PATCH.exchange.patch_position(cases[1]) == (0, 384)
    assert np.abs(first[:, 384:].astype(int) - right[:, :384]).mean() < 3
    assert {case.facts["group"] for case in PATCH.cases(small_kpis, "train")} == {"56Nx", "NEP25"}


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        ("KPIs24 Training Data/Task1_patch_level/data/56NX", "train"),
        ("validation/Task1_patch_level/validation/dn", "validation"),
        ("Task1_patch_level/test/Normal", "test"),
        ("NEP25", "test"),
    ],
)
def test_layouts_in_circulation(tmp_path, folders, split):
    slide = tmp_path / "pytest-train" / folders / "12_116"
    for kind, name in (("img", "img"), ("MASK", "img")):
        raster_path = slide / kind / f"a_12_116_4_1024_2048_{name}.jpg"
        raster_path.parent.mkdir(parents=True)
        cv2.imwrite(str(raster_path), np.zeros((8, 8, 3), np.uint8))
    (patch,) = layout.find_patches(tmp_path / "pytest-train")
    assert (patch.split, patch.column, patch.row) == (split, 1024, 2048)
    assert patch.group in layout.GROUPS
    assert patch.mask.parent.name == "MASK"
    assert patch.mask.is_file()


def test_perfect_predictions_score_one_and_less_by_the_docker_rule(release, tmp_path):
    finished = evaluate("kpis_patch", perfect(release, tmp_path / "predictions"), data=release)
    metrics = finished.record.metrics
    assert metrics["dice"].value == 1
    assert 0.8 < metrics["dice_kpis_docker"].value < 1
    assert metrics["dice"].scored + metrics["dice"].undefined == 27
    assert metrics["dice"].groups == 3
    by_group = [metrics[f"dice_{group}"] for group in ("dn", "nep25", "normal")]
    assert sum(metric.scored for metric in by_group) == metrics["dice"].scored
    row = finished.rows[0]
    assert row.evidence == {"group": "DN", "slide": "11-360"}


def test_names_of_the_organisers_docker_are_found(release, tmp_path):
    folder = perfect(release, tmp_path / "predictions")
    for case in PATCH.cases(release, "test"):
        path = folder / PATCH.exchange.prediction_name(case)
        path.rename(path.with_name(f"val_{case.inputs['image'].stem}_pred.png"))
    assert evaluate("kpis_patch", folder, data=release).record.metrics["dice"].value == 1


def damage_no_mask(cases):
    cases[3].reference["mask"].unlink()
    return cases[3].reference["mask"].name


def damage_size(cases):
    cv2.imwrite(str(cases[4].reference["mask"]), np.zeros((100, 90), np.uint8))
    return cases[4].reference["mask"].name


def damage_ones(cases):
    path = cases[5].reference["mask"]
    path.write_bytes(cv2.imencode(".jpg", np.full((768, 768), 1, np.uint8))[1].tobytes())
    return path.name


def damage_colour(cases):
    path = cases[6].reference["mask"]
    path.write_bytes(cases[6].inputs["image"].read_bytes())
    return path.name


def damage_truncated(cases):
    path = cases[7].inputs["image"]
    path.write_bytes(path.read_bytes()[:900])
    return path.name


def damage_group(cases):
    slide = cases[0].inputs["image"].parents[1]
    target = slide.parents[1] / "cortex" / slide.name
    target.parent.mkdir()
    shutil.move(slide, target)
    return "cortex"


@pytest.mark.slow
def test_bad_files_are_named_in_one_line_and_the_others_scored(release):
    damages = (damage_no_mask, damage_size, damage_ones, damage_colour, damage_truncated, damage_group)
    cases = PATCH.cases(release, "test")
    names = [damage(cases if damage is damage_group else cases[9:]) for damage in damages]
    finished = run(MODEL, "kpis_patch", data=release, weights="none", inference=FAST)
    bad = [row for row in finished.rows if row.status != "ok"]
    assert len(bad) == 5 + 9
    for name in names:
        assert any(name in row.reason and "\n" not in row.reason for row in bad), name
    assert finished.record.counts.ok == 27 - len(bad)
    assert finished.exit_code == 1
    errors = [finding.message for finding in PATCH.release.check(release) if finding.severity == "error"]
    assert all(any(name in message for message in errors) for name in names)


def test_a_failed_patch_scores_zero_unless_its_reference_is_empty(release):
    filled, emptied = PATCH.cases(release, "test")[4], PATCH.cases(release, "test")[0]
    assert PATCH.scorer.score_failed(filled, "missing", "none").scores["dice"].value == 0
    cv2.imwrite(str(emptied.reference["mask"]), np.zeros((768, 768), np.uint8))
    assert PATCH.scorer.score_failed(emptied, "missing", "none").scores["dice"].status == "undefined"


def test_an_empty_folder_and_a_missing_split_say_what_was_looked_for(small_kpis, tmp_path):
    with pytest.raises(MedbenchError, match="Task1_patch_level"):
        PATCH.cases(tmp_path, "test")
    with pytest.raises(MedbenchError, match="only of test, train"):
        PATCH.cases(small_kpis, "validation")


def test_a_slide_in_two_splits_is_an_error(small_kpis, tmp_path):
    root = shutil.copytree(small_kpis, tmp_path / "kpis")
    source = next((root / "KPIs24 Testing Data/Task1_patch_level/test/DN").iterdir())
    shutil.copytree(
        source, root / "KPIs24 Training Data/Task1_patch_level/train/DN" / source.name.replace("-", "_")
    )
    assert any("is in test and train" in finding.message for finding in PATCH.release.check(root))


def test_both_tasks_share_one_sample_with_options(tmp_path):
    assert load_data_set("kpis").release.data_set == "kpis"
    root = sample_folder(load_data_set("kpis"), SilentProgress(), tmp_path / "s", {"slides": 1, "size": 1200})
    (slide,) = layout.find_slides(root)
    assert slide.mask.is_file()
    with pytest.raises(MedbenchError, match="no option 'slides'"):
        sample_folder(load_challenge("iugc2024"), SilentProgress(), tmp_path / "i", {"slides": 1})


def test_stain_augmentation_changes_stains_and_not_the_black_outside():
    torch = pytest.importorskip("torch")
    from torchvision import tv_tensors

    from medbench.training.stain import StainJitter, stain_augmentation, stain_vectors

    torch.manual_seed(0)
    density = torch.rand(2, 32, 32) * 1.2
    light = torch.exp(-torch.einsum("sc,syx->cyx", stain_vectors()[:2], density))
    picture = tv_tensors.Image((light * 255).round().to(torch.uint8))
    picture[:, :4] = 0
    same = StainJitter(0, 0)(picture)
    assert (same.int() - picture.int()).abs().max() <= 1
    mask = tv_tensors.Mask(torch.ones(32, 32, dtype=torch.uint8))
    changes = []
    for _ in range(20):
        varied, kept = StainJitter(0.3)(picture, mask)
        assert (varied[:, :4] == 0).all()
        assert torch.equal(kept, mask)
        changes.append(float((varied[:, 4:].int() - picture[:, 4:].int()).abs().float().mean()))
    assert np.mean(changes) > 3
    only_first = StainJitter().transform(
        picture, {"factor": torch.tensor([1.5, 1.0, 1.0]), "offset": torch.zeros(3)}
    )
    moved = -torch.log(only_first[:, 4:].clamp(min=1) / 255) + torch.log(picture[:, 4:].clamp(min=1) / 255)
    change = torch.linalg.inv(stain_vectors().T) @ moved.flatten(1)
    assert torch.allclose(change[0], 0.5 * density[0, 4:].flatten(), atol=0.06)
    assert change[1:].abs().max() < 0.08
    torch.manual_seed(1)
    image, labels = stain_augmentation()(picture, tv_tensors.Mask((density[0] > 0.6).to(torch.uint8)))
    assert image.shape == picture.shape
    assert set(labels.unique().tolist()) <= {0, 1}
