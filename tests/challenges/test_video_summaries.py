"""SumMe and TVSum: files, folds, official scores, and what is refused by name."""

import hashlib
import itertools
import shutil

import h5py
import numpy as np
import pytest

from drawn_videos import draw_video, level_of
from golden_files import golden
from medbench.challenges import load_challenge
from medbench.challenges.families.video_summaries.answers import write_answer
from medbench.challenges.families.video_summaries.files import file_name
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.sample import Prediction
from medbench.metrics.tasks.summaries import f_measures

ANCHORS = golden("vsumm_real_anchors.json")
NAMES = ("summe", "tvsum")
HASHES = {
    "tvsum/canonical": "4282da742fdade8d22c039711dc1a52f7e4f2f48f2bc677047a9cb9043fc9fc9",
    "summe/canonical": "cb2cc30baf955e7d98f3a8c0d11efc9428a97571cfa942e15e181ef314d6383c",
    "tvsum/fold1_train": "4cea6048a13dc18a6c2ee21458e3e0a886f3d39dcd9b4d24c0d68475fc3bd5de",
    "tvsum/augmented3_train": "d1f178daa2e2a0428d53ba08f951d0cbe1e76864d5fe08bc694cf523babd8e3d",
    "summe/augmented1_train": "cc437438cd0342d68be6c2e7cf54b977a3331a19a3b3e8dec2ee4372177a9bc3",
    "tvsum/transfer_train": "e367eda570f16358c46efe0e7db53bdee09b1cc0289d8fd2f8ed2f43322e4592",
    "summe/transfer_train": "50e7083755bd5fe2da8404738068baf385e8cfbcdab12daa7059ea2ff5427707",
    "tvsum/transfer": "96a330264e751838ee9af1d26336f6dc2a64f1da6d8f4f865ce0a60fda38d7d5",
}


@pytest.fixture
def tvsum(unmarked, tmp_path):
    """A copy of the sample that a test may damage, and its file."""
    shutil.copytree(unmarked("tvsum"), tmp_path / "tvsum")
    return tmp_path / "tvsum", tmp_path / "tvsum" / file_name("tvsum")


def numbers(challenge, split):
    return [
        int(video.key.removeprefix("video_")) for video in challenge.release.video_splits.videos_of(split)
    ]


def test_folds_are_the_published_ones():
    tvsum, summe = (load_challenge(name) for name in ("tvsum", "summe"))
    tested = [numbers(tvsum, f"fold{k}") for k in range(1, 6)]
    assert [len(fold) for fold in tested] == [10] * 5
    counts = {number: sum(number in fold for fold in tested) for number in range(1, 51)}
    assert sum(count == 0 for count in counts.values()) == 18
    assert counts[16] == 4
    assert "18 of the 50 videos are never tested" in tvsum.release.split_facts("canonical").rule
    assert sorted(itertools.chain(*(numbers(summe, f"fold{k}") for k in range(1, 6)))) == list(range(1, 26))
    assert numbers(summe, "fold1") == [1, 7, 8, 13, 22]


@pytest.mark.parametrize(
    ("name", "split", "cases"),
    [
        ("tvsum", "canonical", 50),
        ("summe", "canonical", 25),
        ("tvsum", "fold1_train", 40),
        ("tvsum", "augmented3_train", 154),
        ("summe", "augmented1_train", 159),
        ("tvsum", "transfer_train", 114),
        ("summe", "transfer_train", 139),
        ("tvsum", "transfer", 50),
    ],
)
def test_sizes_and_hashes_of_splits(name, split, cases):
    release = load_challenge(name).release
    facts = release.split_facts(split)
    assert facts.cases == cases
    names = [release.video_splits.case_id(video) for video in release.video_splits.videos_of(split)]
    assert facts.names_sha256 == hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert facts.names_sha256 == HASHES[f"{name}/{split}"]


@pytest.mark.parametrize("name", NAMES)
def test_no_video_is_learnt_from_and_tested(name):
    release = load_challenge(name).release
    for split in release.splits:
        training = release.training_split_of(split)
        if split.endswith("_train") or release.parts(split) or split in ("all", "annotations"):
            continue
        assert training == f"{split}_train"
        assert not release.overlap(training, split)
    assert release.overlap("fold1_train", "canonical")
    assert release.overlap("fold1_train", "fold2")
    assert release.overlap("augmented1_train", "all")
    assert not release.overlap("transfer_train", "all")


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_whole_and_its_raw_annotations_give_what_the_file_holds(name, unmarked):
    findings = load_challenge(name).release.check(unmarked(name))
    assert [finding for finding in findings if finding.severity != "note"] == []


@pytest.mark.parametrize("name", NAMES)
def test_other_raw_annotations_are_told(name, unmarked, tmp_path):
    shutil.copytree(unmarked(name), tmp_path / name)
    with h5py.File(tmp_path / name / file_name(name), "a") as file:
        file["video_3/user_summary"][1, :40] = 1 - file["video_3/user_summary"][1, :40]
        file["video_4/gtscore"][0] += 2
    told = [f.message for f in load_challenge(name).release.check(tmp_path / name) if f.severity == "warning"]
    assert len(told) == 2
    assert "video_3: user_summary of 1 of" in told[0]
    assert "video_4: gtscore" in told[1]


def rows_of(challenge, cases, make, folder):
    return [
        CaseRow(case.id, case.group, "ok", scores.scores, scores.evidence)
        for case in cases
        for scores in [challenge.scorer.score_file(case, make(case, folder))]
    ]


def mean(rows, name):
    return float(np.mean([row.scores[name].value for row in rows]))


@pytest.mark.slow
def test_people_agree_on_summe_as_published(shared_data, tmp_path):
    """Each annotator's own summary, scored as a prediction against the others."""
    challenge = load_challenge("summe")
    cases = challenge.cases(shared_data / "tvsum_summe", "annotations")
    assert len(cases) == 25
    rows = rows_of(challenge, cases, challenge.exchange.annotators_answer, tmp_path)
    expected = ANCHORS["summe_human_leave_one_out"]
    assert mean(rows, "f_mean") == pytest.approx(expected["mean"], abs=1e-9)
    assert mean(rows, "f_max") == pytest.approx(expected["max"], abs=1e-9)
    assert (round(expected["mean"], 4), round(expected["max"], 4)) == (0.3107, 0.5433)


@pytest.mark.slow
def test_people_agree_on_tvsum_as_published(shared_data, tmp_path):
    """Kendall's tau 0.177 and Spearman's rho 0.204."""
    challenge = load_challenge("tvsum")
    cases = challenge.cases(shared_data / "tvsum_summe", "annotations")
    assert len(cases) == 50
    rows = rows_of(challenge, cases, challenge.exchange.annotators_answer, tmp_path)
    for name, published in (("kendall", 0.177), ("spearman", 0.204)):
        assert mean(rows, name) == pytest.approx(ANCHORS["tvsum_human_rank_every15"][name], abs=1e-9)
        assert mean(rows, name) == pytest.approx(published, abs=6e-4)


def test_an_annotators_own_summary_is_perfect_unless_left_out(unmarked, tmp_path):
    challenge = load_challenge("summe")
    case = challenge.cases(unmarked("summe"), "all")[0]
    said = challenge.release.annotations(case, challenge.release.timeline(case))
    arrays = {"summary": said.summaries[2].astype(np.uint8)}
    own = challenge.scorer.score_file(case, write_answer(tmp_path / "own.npz", arrays)).scores
    assert own["f_max"].value == 1
    assert own["kendall"].status == "undefined"
    left_out = arrays | {"annotator": np.array([2])}
    others = challenge.scorer.score_file(case, write_answer(tmp_path / "out.npz", left_out)).scores
    expected = f_measures(np.delete(said.summaries, 2, axis=0), said.summaries[2])
    assert others["f_max"].value == expected.max() < 1
    assert others["f_mean"].value == pytest.approx(expected.mean())


def test_scores_become_the_official_summary(unmarked, tmp_path):
    challenge = load_challenge("tvsum")
    case = challenge.cases(unmarked("tvsum"), "fold1")[0]
    timeline = challenge.release.timeline(case)
    scores = np.random.default_rng(0).random(len(timeline.picks)).astype(np.float32)
    path = challenge.write(Prediction({"frame_scores": scores}), case, tmp_path)
    stored = np.load(path)
    assert np.array_equal(stored["summary"], timeline.summary(scores))
    assert stored["summary"].sum() <= int(0.15 * timeline.n_frames)
    both = challenge.scorer.score_file(case, path)
    alone = challenge.scorer.score_file(case, write_answer(tmp_path / "alone.npz", {"scores": scores}))
    assert both == alone
    assert len(both.evidence["f_by_annotator"]) == 20


def test_several_answers_count_with_their_mean_and_their_spread(unmarked, tmp_path):
    challenge = load_challenge("tvsum")
    cases = challenge.cases(unmarked("tvsum"), "canonical")[:12]
    rng = np.random.default_rng(1)
    rows, singles = [], [[], []]
    for case in cases:
        scores = rng.random((2, len(challenge.release.timeline(case).picks)))
        both = challenge.write(Prediction({"frame_scores": scores}), case, tmp_path)
        rows.append(CaseRow(case.id, case.group, "ok", *_parts(challenge.scorer.score_file(case, both))))
        for place, row in enumerate(scores):
            one = challenge.write(Prediction({"frame_scores": row}), case, tmp_path / str(place))
            singles[place].append(challenge.scorer.score_file(case, one).scores["f_mean"].value)
    means = [np.mean(values) for values in singles]
    ones = np.ones((1, len(rows)))

    def column(name):
        return float(challenge.scorer.statistic(challenge.metric(name), rows)(ones)[0])

    assert column("f_mean") == pytest.approx(np.mean(means))
    assert column("f_spread_seeds") == pytest.approx(np.std(means, ddof=1))
    folds = [
        np.mean([r.scores["f_mean"].value for r in rows if r.case.startswith(f)]) for f in ("fold1", "fold2")
    ]
    assert column("f_spread_folds") == pytest.approx(np.std(folds, ddof=1))
    chance = np.mean([row.evidence["random_f"] for row in rows])
    assert column("f_over_random") == pytest.approx(np.mean(means) / chance)


def _parts(scores):
    return scores.scores, scores.evidence


def change(file, place, values):
    del file[place]
    file[place] = values


def with_nan(file):
    values = file["video_16/features"][:]
    values[3, 5] = np.nan
    change(file, "video_16/features", values)


def one_annotator_nan(file):
    values = file["video_16/user_summary"][:]
    values[6, 9] = np.nan
    change(file, "video_16/user_summary", values)


def ragged(file):
    del file["video_16/user_summary"]
    rows = file.create_dataset("video_16/user_summary", (3,), h5py.vlen_dtype(np.float32))
    for place, length in enumerate((5, 6, 7)):
        rows[place] = np.ones(length)


def one_shot(file):
    frames = int(file["video_16/n_frames"][()])
    change(file, "video_16/change_points", [[0, frames - 1]])
    del file["video_16/n_frame_per_seg"]


def one_frame(file):
    for name, values in (
        ("n_frames", 1),
        ("picks", [0]),
        ("change_points", [[0, 0]]),
        ("n_frame_per_seg", [1]),
    ):
        change(file, f"video_16/{name}", values)


def cut(name, part):
    """Some rows or columns of an array of video 16."""
    return lambda file: change(file, f"video_16/{name}", file[f"video_16/{name}"][part])


def shifted_picks(file):
    change(file, "video_16/picks", file["video_16/picks"][:] + file["video_16/n_frames"][()])


def linked(name, link):
    def damage(file):
        del file[f"video_16/{name}"]
        file[f"video_16/{name}"] = link

    return damage


DAMAGES = {
    "no change points": (lambda file: file.pop("video_16/change_points"), "data.array_missing"),
    "picks beyond": (shifted_picks, "summary.picks"),
    "other width": (cut("features", np.s_[:, :512]), "features.width"),
    "fewer features": (cut("features", np.s_[:-1]), "features.count"),
    "features with NaN": (with_nan, "features.not_finite"),
    "gap between shots": (cut("change_points", np.s_[1:]), "summary.shots"),
    "one shot": (one_shot, "video.one_shot"),
    "one frame": (one_frame, "video.one_frame"),
    "external link": (linked("features", h5py.ExternalLink("other.h5", "/x")), "file.refers_elsewhere"),
    "soft link": (linked("picks", h5py.SoftLink("/video_1/picks")), "file.refers_elsewhere"),
}


def alike(file):
    change(file, "video_16/gtscore", np.ones_like(file["video_16/gtscore"][:]))


ANNOTATION_DAMAGES = {
    "annotator with NaN": (one_annotator_nan, "annotation.not_finite"),
    "ragged": (ragged, "data.not_real"),
    "other length": (cut("user_summary", np.s_[:, :-9]), "annotation.length"),
    "constant": (alike, "annotation.constant"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_video_is_refused_by_name_and_no_other(kind, tvsum):
    root, path = tvsum
    damage, code = DAMAGES[kind]
    with h5py.File(path, "a") as file:
        damage(file)
    challenge = load_challenge("tvsum")
    errors = {}
    for case in challenge.cases(root, "fold1"):
        try:
            challenge.read(case)
        except MedbenchError as error:
            errors[case.id] = error
    assert list(errors) == ["video_16"]
    assert errors["video_16"].code == code
    assert "video_16" in errors["video_16"].message
    if kind in ("picks beyond", "external link"):
        assert any("video_16" in f.message for f in challenge.release.check(root) if f.severity == "error")


@pytest.mark.parametrize("kind", ANNOTATION_DAMAGES)
def test_damaged_annotations_are_refused_by_name_and_leave_predictions_alone(kind, tvsum, tmp_path):
    root, path = tvsum
    damage, code = ANNOTATION_DAMAGES[kind]
    with h5py.File(path, "a") as file:
        damage(file)
    challenge = load_challenge("tvsum")
    case = next(case for case in challenge.cases(root, "fold1") if case.id == "video_16")
    sample = challenge.read(case)
    written = challenge.write(Prediction({"frame_scores": np.arange(len(sample.features))}), case, tmp_path)
    with pytest.raises(MedbenchError) as caught:
        challenge.scorer.score_file(case, written)
    assert caught.value.code == code
    assert "video_16" in caught.value.message
    if kind == "annotator with NaN":
        assert "annotator 7 of 20" in caught.value.message
    failed = challenge.scorer.score_failed(case, "failed", "x")
    assert all(score.status == "undefined" for score in failed.scores.values())


def test_a_fold_that_names_an_absent_video_is_refused(tvsum):
    root, path = tvsum
    with h5py.File(path, "a") as file:
        del file["video_16"]
    challenge = load_challenge("tvsum")
    with pytest.raises(MedbenchError, match="has no video_16, which split fold1 names") as caught:
        challenge.cases(root, "fold1")
    assert caught.value.code == "split.absent_video"
    assert len(challenge.cases(root, "all")) == 49


def test_annotators_of_different_lengths_in_the_table(tvsum):
    root, _ = tvsum
    table = root / "ydata-tvsum50-anno.tsv"
    lines = table.read_text().splitlines()
    lines[21] = lines[21].rpartition(",")[0]
    table.write_text("\n".join(lines) + "\n")
    files = load_challenge("tvsum").release.raw
    assert files.read(table, "drawn_01").values.shape[0] == 20
    with pytest.raises(MedbenchError, match=r"drawn_02: annotator 2 has \d+ values") as caught:
        files.read(table, "drawn_02")
    assert caught.value.code == "annotation.length"


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        (lambda t: {"summary": np.random.default_rng(0).random(t.n_frames)}, "summary.not_binary"),
        (lambda t: {"summary": np.full(t.n_frames, np.nan)}, "summary.not_binary"),
        (lambda t: {"summary": np.zeros(len(t.picks), np.uint8)}, "summary.length"),
        (lambda t: {"summary": np.zeros((t.n_frames, 3), np.uint8)}, "summary.length"),
        (lambda t: {"scores": np.zeros(len(t.picks) + 1)}, "scores.length"),
        (lambda t: {"scores": np.full(len(t.picks), np.inf)}, "scores.not_finite"),
        (lambda t: {"nothing": np.zeros(3)}, "prediction.empty"),
        (
            lambda t: {"summary": np.zeros(t.n_frames, np.uint8), "annotator": np.array([20])},
            "annotator.count",
        ),
        (lambda t: {"summary": np.zeros(t.n_frames, np.uint8), "annotator": np.arange(3)}, "annotator.count"),
    ],
)
def test_predictions_that_are_none_are_refused(arrays, code, unmarked, tmp_path):
    challenge = load_challenge("tvsum")
    case = challenge.cases(unmarked("tvsum"), "fold2")[0]
    path = write_answer(tmp_path / "video.npz", arrays(challenge.release.timeline(case)))
    with pytest.raises(MedbenchError) as caught:
        challenge.scorer.score_file(case, path)
    assert caught.value.code == code


def test_a_frame_or_two_more_are_no_fault(unmarked, tmp_path):
    challenge = load_challenge("tvsum")
    case = challenge.cases(unmarked("tvsum"), "fold2")[0]
    frames = challenge.release.timeline(case).n_frames
    for length in (frames - 2, frames + 2):
        path = write_answer(tmp_path / f"{length}.npz", {"summary": np.ones(length, np.uint8)})
        assert challenge.scorer.score_file(case, path).scores["f_mean"].value > 0


def test_what_models_see_does_not_depend_on_annotations(tvsum):
    root, path = tvsum
    challenge = load_challenge("tvsum")
    case = challenge.cases(root, "fold1")[0]
    before = challenge.read(case)
    assert set(before.facts) == {"picks", "change_points", "n_frames"}
    with h5py.File(path, "a") as file:
        for name in ("user_summary", "gtscore", "gtsummary"):
            group = file[case.id]
            group[name][...] = (
                np.random.default_rng(0).permutation(group[name][:].reshape(-1)).reshape(group[name].shape)
            )
    after = challenge.read(case)
    assert np.array_equal(before.features, after.features)
    assert all(np.array_equal(before.facts[key], after.facts[key]) for key in before.facts)


def test_a_report_shows_curve_shots_and_annotators(unmarked, tmp_path):
    challenge = load_challenge("tvsum")
    case = challenge.cases(unmarked("tvsum"), "canonical")[0]
    sample = challenge.read(case)
    path = challenge.write(Prediction({"frame_scores": sample.features[:, 0]}), case, tmp_path)
    (shown,) = challenge.exchange.illustrations(case, path)
    assert shown.kind == "overview"
    assert shown.reference.shape == shown.image.shape[:2]
    colours = {tuple(pixel) for pixel in np.unique(shown.image.reshape(-1, 3), axis=0)}
    assert {(230, 159, 0), (86, 180, 233), (205, 205, 205)} <= colours
    assert "20 annotators" in shown.caption


def test_a_report_shows_thumbnails_where_the_video_is_there(tvsum, tmp_path):
    """The video is called as the raw annotations, the released file or its group call it."""
    pytest.importorskip("av")
    root, path = tvsum
    challenge = load_challenge("tvsum")
    case = next(case for case in challenge.cases(root, "fold1") if case.id == "video_16")
    timeline = challenge.release.timeline(case)
    answer = challenge.write(Prediction({"frame_scores": np.arange(len(timeline.picks))}), case, tmp_path)
    (bare,) = challenge.exchange.illustrations(case, answer)
    with h5py.File(path, "a") as file:
        file["video_16/video_name"] = "Holiday"
    shots = timeline.change_points[:, 1] - timeline.change_points[:, 0] + 1
    video = draw_video(tmp_path / "v.mp4", shots, sound=False, patterns=False)
    stored = np.load(answer)["summary"]
    chosen = [place for place, (first, _) in enumerate(timeline.change_points) if stored[first]]
    for name in ("drawn_16.mp4", "videos/Holiday.mp4", "video/video_16.mp4"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(video, root / name)
        (shown,) = challenge.exchange.illustrations(case, answer)
        assert shown.image.shape[0] == bare.image.shape[0] + 98
        width, centres = round(64 * 90 / 48), []
        for place in range(min(len(chosen), 8)):
            centres.append(shown.image[12 + 45, 12 + place * (width + 4) + width // 2].mean())
        assert centres == pytest.approx([level_of(place) for place in chosen[:8]], abs=6)
        (root / name).write_bytes(video.read_bytes()[:5000])
        (broken,) = challenge.exchange.illustrations(case, answer)
        assert np.array_equal(broken.image, bare.image)
        (root / name).unlink()
