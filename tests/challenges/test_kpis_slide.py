"""KPIs 2024 slides: working level, every rule, bad files, resuming, stitching of patches."""

import json
import shutil
import time

import cv2
import numpy as np
import pytest
import tifffile

import warm_process
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.io.pyramids import write_pyramid
from medbench.metrics.official.kpis import slide_dice_official
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.samples import sample_folder

KPIS, MASKS = golden("kpis_metrics.json"), golden("kpis_masks.npz")
SLIDE = load_challenge("kpis_slide")
MODEL = "dssau_net.test"
FAST = Inference(image_size=128)
COLUMNS = {
    "dice": "dice",
    "f1": "components8",
    "f1_contour": "contour_rule_without_mutation",
    "f1_kpis_docker": "official_f1",
}


@pytest.fixture
def release(small_kpis, tmp_path):
    """A copy of the test slides that a test may damage."""
    source = small_kpis / "KPIs24 Testing Data/Task2_WSI_level"
    return shutil.copytree(source, tmp_path / "KPIs24 Testing Data/Task2_WSI_level").parents[0]


def reference(case):
    return tifffile.imread(case.reference["mask"])


def working(case):
    grey = reference(case)
    if case.facts["group"] == "NEP25":
        return grey > 127
    return grey.reshape(len(grey) // 2, 2, -1, 2).astype(int).sum((1, 3)) > 4 * 127


def predicted(root, folder, change=lambda mask: mask):
    for case in SLIDE.cases(root, "test"):
        mask = change(working(case).copy())
        write_pyramid(folder / SLIDE.exchange.prediction_name(case), [mask * np.uint8(255)], mask.shape)
    return folder


@pytest.mark.parametrize("case", KPIS["slides"], ids=lambda case: case["id"])
def test_golden_slides(case):
    grey, mask = MASKS[f"{case['id']}__gt"] * np.uint8(255), MASKS[f"{case['id']}__pred"]
    scores = SLIDE.score_arrays(grey, mask)
    for column, key in COLUMNS.items():
        value = case[key] if column == "dice" else case[key]["f1"]
        score = scores[column]
        if score.value is None:
            assert (column, score.status, value) == ("f1", "undefined", 0)
        else:
            assert score.value == pytest.approx(value, abs=1e-9), column
    assert scores["dice_kpis_docker"].value == pytest.approx(case["dice"], abs=1e-9)


def test_two_empty_masks_by_every_rule():
    empty = np.zeros((40, 40), np.uint8)
    scores = SLIDE.score_arrays(empty, empty)
    assert {name: score.value for name, score in scores.items()} == {
        "dice": 1, "dice_kpis_docker": 1, "f1": None, "f1_contour": 0, "f1_kpis_docker": 0,
    }  # fmt: skip
    assert {score.status for score in scores.values()} == {"undefined"}
    assert "'agree'" in scores["dice"].reason
    assert "organisers" in scores["dice_kpis_docker"].reason
    assert "'kpis'" in scores["f1_kpis_docker"].reason


@pytest.mark.parametrize("shape", [(60, 80), (61, 83), (63, 78)])
def test_references_are_halved_by_both_rules(shape):
    rng = np.random.default_rng(0)
    grey = np.kron(rng.random((21, 28)) < 0.4, np.ones((3, 3), bool))[: shape[0], : shape[1]] * np.uint8(255)
    half = tuple(round(side / 2) for side in shape)
    mask = rng.random(half) < 0.5
    scores = SLIDE.score_arrays(grey, mask)
    even = np.pad(grey, ((0, 1), (0, 1)), mode="edge")[: half[0] * 2, : half[1] * 2].astype(int)
    own = even.reshape(half[0], 2, half[1], 2).sum((1, 3)) > 4 * 127
    assert scores["dice"].value == pytest.approx(2 * (own & mask).sum() / (own.sum() + mask.sum()))
    assert scores["dice_kpis_docker"].value == pytest.approx(slide_dice_official(grey, mask))
    with pytest.raises(MedbenchError):
        SLIDE.score_arrays(grey, mask[:-2])


@pytest.mark.slow
def test_perfect_masks_and_what_the_docker_makes_of_them(release, tmp_path):
    finished = evaluate("kpis_slide", predicted(release, tmp_path / "p"), data=release)
    metrics = finished.record.metrics
    assert metrics["dice"].value == metrics["f1"].value == metrics["f1_kpis_docker"].value == 1
    assert 0.97 < metrics["dice_kpis_docker"].value < 1
    by_group = {row.evidence["group"]: row.scores["dice_kpis_docker"].value for row in finished.rows}
    assert by_group["NEP25"] == 1 > by_group["DN"]


@pytest.mark.slow
def test_files_score_as_their_arrays_do(release, tmp_path):
    folder = predicted(release, tmp_path / "p", lambda mask: np.roll(mask, (25, 9), (0, 1)))
    for row, case in zip(
        evaluate("kpis_slide", folder, data=release).rows, SLIDE.cases(release, "test"), strict=True
    ):
        expected = SLIDE.score_arrays(reference(case), np.roll(working(case), (25, 9), (0, 1)))
        assert {name: row.scores[name] for name in expected} == expected
        assert 0.5 < expected["dice"].value < 1


@pytest.mark.slow
def test_the_report_marks_what_was_missed_and_shows_the_worst_at_full_size(release, tmp_path):
    def damaged(mask):
        _, labels, *_ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
        mask[labels == 1] = False
        mask[:40, :60] = True
        mask[:, -1] = False
        return mask

    case = SLIDE.cases(release, "test")[0]
    path = predicted(release, tmp_path / "p", damaged) / SLIDE.exchange.prediction_name(case)
    overview, *details = SLIDE.exchange.illustrations(case, path)
    n_objects, labels, boxes, _ = cv2.connectedComponentsWithStats(
        working(case).view(np.uint8), connectivity=8
    )
    assert overview.kind == "overview"
    assert overview.image.shape[:2] == overview.reference.shape
    assert max(overview.image.shape) == max(labels.shape)
    assert f"{n_objects - 1} glomeruli, 1 missed, 1 false positive" in overview.caption
    left, top, width, height = boxes[1][:4]
    missed, invented = overview.marks
    assert (missed.kind, missed.column, missed.row) == ("missed", left + width / 2, top + height / 2)
    assert (invented.kind, invented.column, invented.row) == ("false positive", 30, 20)
    assert [shown.caption.split(",")[0] for shown in details[:2]] == ["missed", "false positive"]
    assert np.count_nonzero(details[0].reference) >= boxes[1][4]
    assert not details[0].prediction.any()
    window = slice(max(0, top - 64), top + height + 64), slice(max(0, left - 64), left + width + 64)
    assert np.array_equal(details[0].reference, working(case)[window])

    finished = evaluate("kpis_slide", tmp_path / "p", data=release)
    first = (finished.folder / "report.html").read_text()
    assert first.count('class="overview"') == 3
    assert "false positive</p>" in first
    again = report(finished.folder, data=release, predictions=tmp_path / "p", output=tmp_path / "again.html")
    assert again.read_text() == first
    case.inputs["image"].write_bytes(b"other")
    with pytest.raises(MedbenchError) as caught:
        report(finished.folder, data=release, predictions=tmp_path / "p")
    assert caught.value.code == "report.other_data"


@pytest.mark.slow
def test_the_docker_layout_and_flat_files_are_the_same_slides(release, tmp_path):
    folder = predicted(release, tmp_path / "p")
    for case in SLIDE.cases(release, "test"):
        base = tmp_path / "docker" / case.facts["group"].lower()
        for kind, path in (("img", case.inputs["image"]), ("mask", case.reference["mask"])):
            (base / kind).mkdir(parents=True, exist_ok=True)
            with tifffile.TiffFile(path) as file:
                values = file.pages[0].asarray()
            tifffile.imwrite(base / kind / path.name, values, compression="lzw", rowsperstrip=16)
    metrics = evaluate("kpis_slide", folder, data=tmp_path / "docker").record.metrics
    assert metrics["dice"].value == 1
    assert metrics["dice"].scored == 3


def no_mask(cases, folder):
    cases[0].reference["mask"].unlink()
    return cases[0].reference["mask"].name


def wrong_size(cases, folder):
    tifffile.imwrite(cases[1].reference["mask"], np.zeros((50, 70), np.uint8))
    return "50×70"


def sixteen_bits(cases, folder):
    tifffile.imwrite(cases[2].inputs["image"], np.zeros((600, 600, 3), np.uint16), photometric="rgb")
    return "uint16"


def truncated(cases, folder):
    path = cases[0].inputs["image"]
    path.write_bytes(path.read_bytes()[:-5000])
    return path.name


def unknown_group(cases, folder):
    slide = cases[1].inputs["image"].parent
    slide.rename(slide.with_name("cortex"))
    return "'cortex'"


def tiny(cases, folder):
    tifffile.imwrite(cases[0].inputs["image"], np.zeros((20, 20, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(cases[0].reference["mask"], np.zeros((20, 20), np.uint8))
    return "10×10"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [no_mask, wrong_size, sixteen_bits, truncated, unknown_group, tiny])
def test_a_bad_slide_is_named_in_one_line_and_the_others_are_scored(release, damage):
    name = damage(SLIDE.cases(release, "test"), release)
    finished = run(MODEL, "kpis_slide", data=release, weights="none", inference=FAST)
    (bad,) = [row for row in finished.rows if row.status != "ok"]
    assert name in bad.reason
    assert "\n" not in bad.reason
    assert finished.record.counts.ok == 2
    assert finished.exit_code == 1
    if damage is not tiny:
        assert any(
            name in finding.message for finding in SLIDE.release.check(release) if finding.severity == "error"
        )


def test_a_small_and_an_empty_slide_are_predicted(tmp_path):
    folder = tmp_path / "KPIs24 Testing Data/Task2_WSI_level/NEP25"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures = {
        "small": rng.integers(90, 200, (100, 100, 3), np.uint8),
        "empty": np.zeros((300, 200, 3), np.uint8),
    }
    for name, values in pictures.items():
        tifffile.imwrite(folder / f"{name}_wsi.tiff", values, photometric="rgb")
        tifffile.imwrite(folder / f"{name}_mask.tiff", np.zeros(values.shape[:2], np.uint8))
    finished = run(MODEL, "kpis_slide", data=tmp_path, weights="none", inference=FAST)
    rows = {row.case: row for row in finished.rows}
    assert finished.exit_code == 0
    assert rows["NEP25/empty"].scores["dice"].value == 1
    assert rows["NEP25/empty"].scores["f1_kpis_docker"].value == 0
    assert rows["NEP25/empty"].scores["f1"].value is None
    assert rows["NEP25/small"].status == "ok"
    assert not list(finished.folder.rglob("*.raw"))


@pytest.mark.slow
def test_predictions_at_the_scan_level_and_masks_of_ones_are_refused(release, tmp_path):
    folder = predicted(release, tmp_path / "p")
    first, second, _ = SLIDE.cases(release, "test")
    tifffile.imwrite(folder / SLIDE.exchange.prediction_name(first), reference(first))
    tifffile.imwrite(folder / SLIDE.exchange.prediction_name(second), working(second).astype(np.uint8))
    rows = evaluate("kpis_slide", folder, data=release).rows
    assert "3072×3072, expected 1536×1536" in rows[0].reason
    assert "up to 1" in rows[1].reason
    assert rows[0].scores["dice"].value == rows[1].scores["f1"].value == 0
    assert rows[2].status == "ok"


@pytest.mark.slow
def test_settings_of_slides_change_the_run_and_unknown_ones_are_named(release):
    plain = run(MODEL, "kpis_slide", data=release, weights="none", inference=FAST)
    tiled = Inference(image_size=128, tiling={"min_object_px": 0})
    other = run(MODEL, "kpis_slide", data=release, weights="none", inference=tiled)
    assert plain.folder != other.folder
    assert other.record.settings["tiling"]["min_object_px"] == 0
    assert "--tiling min_object_px=0" in other.record.command
    for challenge, inference in (
        ("kpis_slide", Inference(tiling={"tile": 3})),
        ("kpis_slide", Inference(stitch=True)),
        ("kpis_patch", Inference(tiling={"tile_px": 512})),
        ("iugc2024", Inference(stitch=True)),
    ):
        with pytest.raises(MedbenchError) as caught:
            run(MODEL, challenge, data=release, weights="none", inference=inference)
        assert caught.value.code == "inference.setting"


def test_slides_are_served_as_slides_and_learnt_from_the_patches(small_kpis, tmp_path):
    patches = load_challenge(SLIDE.card.learns_from)
    assert patches.name == "kpis_patch"
    assert list(SLIDE.exchange.inputs) == ["slide"]
    assert SLIDE.exchange.patch_position is None
    own, others = (
        next(iter(challenge.exchange.inputs.values())).examples(small_kpis, "train", tmp_path)
        for challenge in (SLIDE, patches)
    )
    assert [example.id for example in own] == [example.id for example in others]
    assert len(own) == 18
    sample = SLIDE.read(SLIDE.cases(small_kpis, "test")[0])
    assert sample.demands == {"label_map"}
    assert sample.slide.shape == (1536, 1536)


@pytest.mark.slow
def test_weights_learnt_from_patches_serve_slides(small_kpis):
    from medbench.running.train import train

    short = {"epochs": 1, "batch_size": 4, "image_size": 128}
    weights = train(MODEL, "kpis_slide", data=small_kpis, recipe="quick", recipe_changes=short)
    assert json.loads((weights.parent / "training.json").read_text())["challenge"] == "kpis_patch"
    assert json.loads((weights.parent / "training.json").read_text())["recipe"]["augmentation"] == "stain"
    for challenge in ("kpis_patch", "kpis_slide"):
        finished = run(MODEL, challenge, data=small_kpis, cases="NEP25/*")
        assert finished.record.model.weights == "trained"
        assert finished.record.model.weights_sha256 is not None


@pytest.mark.slow
def test_stitched_patches_agree_where_they_overlap(small_kpis):
    import cv2

    finished = run(
        MODEL,
        "kpis_patch",
        data=small_kpis,
        weights="none",
        cases="DN/*",
        inference=Inference(image_size=128, stitch=True),
    )
    plain = run(MODEL, "kpis_patch", data=small_kpis, weights="none", cases="DN/*", inference=FAST)
    assert finished.record.settings["stitch"] is True
    differences = []
    for result in (finished, plain):
        paths = {
            path.name.split("_")[3:5][0] + "," + path.name.split("_")[4]: path
            for path in result.folder.rglob("*_mask.png")
        }
        masks = {place: cv2.imread(str(path), 0) for place, path in paths.items()}
        left, right = masks["0,384"], masks["384,384"]
        differences.append((left[:, 384:] != right[:, :384]).mean())
    assert differences[0] == 0 < differences[1]


@pytest.mark.slow
def test_killing_a_run_in_the_middle_of_a_slide_and_repeating_it_gives_the_same_bytes(tmp_path, full):
    from medbench.core.progress import SilentProgress

    data = sample_folder(
        SLIDE, SilentProgress(), tmp_path / "data", {"slides": 1, "size": 3600 if full else 2400}
    )
    arguments = ["run", "-m", MODEL, "-c", "kpis_slide"]
    arguments += ["--data", str(data), "--weights", "none", "--image-size", "192", "--tiling", "patch_px=256"]
    arguments += ["--tiling", "margin_px=32", "--tiling", "blend_px=32", "--tiling", "min_object_px=0"]

    whole = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    expected = next((tmp_path / "whole").rglob("*_mask.tiff")).read_bytes()
    runs, reached = tmp_path / "killed", 0
    for rows in (1, 4, 7) if full else (2,):
        process = warm_process.start(arguments, tmp_path, MEDBENCH_RUNS=str(runs))
        deadline, seen = time.monotonic() + 120, [reached]
        while time.monotonic() < deadline and process.is_alive() and seen[-1] < rows:
            states = list(runs.rglob("unfinished/**/state.npz"))
            if states:
                with np.load(states[0]) as state:
                    seen.append(int(state["rows_done"]))
            time.sleep(0.02)
        assert process.is_alive(), "it ended by itself"
        assert seen[-1] >= rows
        assert seen == sorted(seen), "it began anew"
        reached = seen[-1]
        process.kill()
        process.join()
        assert not list(runs.rglob("*_mask.tiff")), "the run was over before it was killed"
    again = warm_process.call(arguments, tmp_path, MEDBENCH_RUNS=str(runs))
    assert again.returncode == 0, again.stderr
    assert next(runs.rglob("*_mask.tiff")).read_bytes() == expected
    assert (
        next(runs.rglob("cases.jsonl")).read_bytes()
        == next((tmp_path / "whole").rglob("cases.jsonl")).read_bytes()
    )
    assert not list(runs.rglob("*.raw"))


def test_a_framework_that_reads_whole_images_is_refused(small_kpis):
    refusal = r"nnunet\) sees volumes or images; cases of KPIs 2024, whole slides are slides\..*model\.form"
    with pytest.raises(MedbenchError, match=refusal):
        run("nnunet", "kpis_slide", data=small_kpis)
    with pytest.raises(MedbenchError, match=r"model\.slides"):
        run("nnunet", "kpis_patch", data=small_kpis, inference=Inference(stitch=True))
