"""The documentation's own text runs, names nothing that is not there, and its generated pages are whole."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml

sys.path.append(str(Path(__file__).parent))

import medbench
import pages
from drawn_videos import draw_video
from medbench.challenges import load_challenge
from medbench.challenges.simulators.colonoscopy import Sequence
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.inference.weights import save_checkpoint
from medbench.io import raster
from medbench.models import model_entry
from medbench.models.registry import check_options
from medbench.running.samples import MARKER, file_hashes

README = pages.DOCS.parent / "README.md"
SHARED_DATA = README.parents[1] / "shared" / "data"
REPEATED_PAGE = "index.md"
"""Its commands are those of others: the first run is the first one of summarise-a-video.md."""
SHORT_TUTORIAL = "reproduce-a-row.md"
"""The one that every run of the suite takes; ``make tutorials`` takes the others."""
TINY_SUMMARISER = {
    "dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32,
}  # fmt: skip
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def is_generated(path):
    """Whether a page is written by the program and not committed."""
    return path.resolve().parent == pages.DOCS / "reference" and path.name != "index.md"


WRITTEN = [
    page
    for page in (
        *README.parent.glob("*.md"),
        *(
            page
            for folder in ("docs", "leaderboards", "speed", "submissions")
            for page in (README.parent / folder).rglob("*.md")
        ),
    )
    if not is_generated(page)
]
"""Pages that a web host shows."""


def names(folder):
    return sorted(path.name for path in (pages.DOCS / folder).glob("*.md"))


def take_as_sample(name, root, cache):
    """Put a smaller release in the place of the sample that a command would draw."""
    release = load_challenge(name).release
    folder = shutil.copytree(root, cache / "samples" / f"{release.data_set}-{release.sample_version}")
    mark = {"challenge": release.data_set, "sample_version": release.sample_version}
    mark |= {"note": "synthetic, drawn by medbench", "files": file_hashes(folder)}
    write_json(folder / MARKER, mark)


def put_video(folder):
    """A video of ten scenes, and weights of a network that learnt nothing."""
    torch.manual_seed(0)
    draw_video(folder / "holiday.mp4", (60, 75, 90, 60, 75, 90, 60, 75, 90, 60))
    network = medbench.create_model("fulltransnet", num_classes=1, **TINY_SUMMARISER)
    facts = {"model": "fulltransnet", "challenge": "tvsum", "split": "fold1_train"}
    save_checkpoint(folder / "weights.pt", network.state_dict(), facts | {"options": TINY_SUMMARISER})


@pytest.mark.parametrize("name", names("extending"))
def test_a_part_of_each_kind_is_added_by_the_page_s_own_files(name, tmp_path):
    assert pages.run_page(pages.DOCS / "extending" / name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(REPEATED_PAGE, marks=pytest.mark.exhaustive),
        SHORT_TUTORIAL,
        *(
            pytest.param(name, marks=pytest.mark.tutorial)
            for name in names("tutorials")
            if name not in (SHORT_TUTORIAL, "own_data.md")
        ),
    ],
)
def test_a_tutorial_runs_from_its_own_text(name, small_iugc, tmp_path, monkeypatch):
    folder = "start" if name == REPEATED_PAGE else "tutorials"
    if name == "enter-a-challenge.md":
        monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
        take_as_sample("iugc2024", small_iugc, tmp_path / "cache")
    if name == "summarise-a-video.md":
        put_video(tmp_path)
    if name == "reproduce-a-row.md":
        boards = pages.DOCS.parent / "leaderboards"
        shutil.copytree(boards / "hc18", tmp_path / "leaderboards" / "hc18")
        for file in boards.glob("profiles.*"):
            shutil.copy(file, tmp_path / "leaderboards")
    assert pages.run_page(pages.DOCS / folder / name, tmp_path)


def draw_colonoscopy(folder):
    """Three drawn images of each of 20 videos with their masks."""
    for video in range(1, 21):
        scene = Sequence(np.random.default_rng(video), 72, 96)
        for number in range(3):
            frame = scene.frame(np.random.default_rng([video, number]), number / 2)
            name = f"v{video:02}_{number:03}.png"
            raster.write_image(folder / "images" / name, frame.image)
            raster.write_label_map(folder / "masks" / name, frame.mask * np.uint8(255))


def real_colonoscopy(folder, shared):
    """Three images of each of 20 videos of CVC-ClinicDB with their masks."""
    with (shared / "cvc_clinicdb/sequences.csv").open() as table:
        videos = {row["frame"]: int(row["sequence"]) for row in csv.DictReader(table)}
    taken = Counter()
    for path in sorted((shared / "cvc_clinicdb/png/images").iterdir()):
        video = videos[path.stem]
        if taken[video] < 3 and taken.total() < 60:
            taken[video] += 1
            for kind in ("images", "masks"):
                target = folder / kind / f"v{video:02}_{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path.parents[1] / kind / path.name, target)


@pytest.mark.slow
@pytest.mark.tutorial
@pytest.mark.parametrize("images", ["real", "drawn"])
def test_own_images_become_a_board_and_a_container(images, tmp_path, request):
    """On real images where they are there; else this is said, and drawn ones stand in."""
    there = (SHARED_DATA / "cvc_clinicdb").is_dir()
    if images == "real":
        if not there:
            pytest.skip("skipped for real images: no CVC-ClinicDB beside the checkout; drawn ones stand in")
        real_colonoscopy(tmp_path / "colon", SHARED_DATA)
    else:
        if there and not request.config.getoption("--full"):
            pytest.skip("skipped for drawn images: the real ones are there")
        draw_colonoscopy(tmp_path / "colon")
    assert len(list((tmp_path / "colon/images").iterdir())) == 60
    page = pages.DOCS / "tutorials" / "own_data.md"
    shown = [code for language, _, code in pages.blocks(page) if language == "bash"]
    assert sum(code.count("medbench ") for code in shown) <= 10
    assert not any(language == "python" for language, *_ in pages.blocks(page))
    outputs = pages.run_page(page, tmp_path)
    assert "passed: 2 outputs equal those of medbench run" in outputs[-1]
    board = json.loads((tmp_path / "polyps/board.json").read_text())
    (population,) = board["populations"]
    assert [line["entry"] for line in population["entries"]] == [
        f"{name}.test (default)" for name in ("dssau_net", "brau_net_pp", "mslau_net")
    ]


def test_the_table_of_hd95_is_what_its_program_prints(tmp_path):
    page = pages.DOCS / "explanations" / "hd95.md"
    pages.run_page(page, tmp_path)
    shown = next(code for language, _, code in pages.blocks(page) if language == "text")
    assert pages.called([sys.executable, "hd95.py"], tmp_path) == shown
    assert len(set(re.findall(r"\d+\.\d{4}", shown))) == 4


@pytest.mark.parametrize("page", sorted(WRITTEN), ids=lambda page: str(page.relative_to(README.parent)))
def test_links_of_a_written_page_lead_to_a_file_that_is_no_generated_one(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target
        assert path.exists(), target
        assert not is_generated(path), f"{target}: is there after make docs alone"


def shown_calls(page):
    """Words of every command of medbench that a page shows, in blocks and in its sentences."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^ *```[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^ *(?:\$ )?medbench (.+)$", blocks.replace("\\\n", " "), re.MULTILINE)
    spans = re.findall(
        r"`medbench ([^`]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    for call in (*lines, *spans):
        yield shlex.split(re.split(r" (?:\||&&|>) ", call)[0], comments=True)


def option_words(command):
    return {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", sorted(WRITTEN), ids=lambda page: str(page.relative_to(README.parent)))
def test_commands_of_a_written_page_are_there_with_all_their_options(page):
    names = {"--model": medbench.list_models(), "--challenge": medbench.list_challenges()}
    names |= {"-m": names["--model"], "-c": names["--challenge"]}
    for words in shown_calls(page):
        command = top = typer.main.get_command(app)
        for before, word in zip(["", *words], words, strict=False):
            if word.startswith("--") or re.fullmatch("-[a-z]", word):
                option = word.partition("=")[0]
                assert option in option_words(command) | {"--help", "-h"}, f"{words}: {word}"
            elif hasattr(command, "commands") and not (command is top and before.startswith("--")):
                assert word in command.commands or word.isupper(), f"{words}: {word}"
                if word.isupper():
                    break
                command = command.commands[word]
            elif before in names and page.parent in (README.parent, pages.DOCS / "start"):
                assert word in names[before] or not word.islower() or "." in word, f"{words}: {word}"


def test_what_the_reference_says_is_printed_by_the_program():
    page = pages.DOCS / "reference" / "index.md"
    calls = re.findall(r"`medbench ([a-z ]+)", page.read_text(encoding="utf-8"))
    assert len(calls) == 7
    for call in map(str.split, calls):
        command = typer.main.get_command(app)
        for word in call:
            command = command.commands[word]


@pytest.mark.parametrize("name", ["studies.md", "pretraining.md"])
def test_studies_that_pages_show_name_models_with_their_options_and_challenges(name):
    text = (pages.DOCS / name).read_text(encoding="utf-8")
    studies = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    studies = [study for study in studies if "models" in study]
    assert studies
    for study in studies:
        for model in study["models"]:
            model = {"model": model} if isinstance(model, str) else model
            check_options(model_entry(model["model"]), model.get("set", {}))
        for data in study["data"]:
            load_challenge(data["challenge"])


def test_the_readme_is_short_and_promises_no_index():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    assert "pip install medbench" not in "\n".join(lines)


def test_the_citation_names_the_version_and_the_licence_of_the_package():
    facts = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((README.parent / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["title"], citation["version"], citation["license"]) == (
        facts["name"], facts["version"], facts["license"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The pages of the reference, and the program that writes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(pages.DOCS))
        import write_reference

    folder = tmp_path_factory.mktemp("reference")
    write_reference.write(folder)
    return folder, write_reference


def test_the_reference_names_all_that_the_program_has(reference):
    folder, _ = reference
    metrics, models = (folder / "metrics.md").read_text(), (folder / "models.md").read_text()
    assert all(f"| `{id}` |" in metrics for id in medbench.list_metrics())
    assert all(f"| `{name}` |" in models for name in medbench.list_models())
    challenges = (folder / "challenges.md").read_text()
    assert all(f"## {name}\n" in challenges for name in medbench.list_challenges())
    commands = (folder / "commands.md").read_text()
    assert "## medbench leaderboard verify" in commands
    assert "`--resamples`" in commands
    rows = [json.loads(line) for line in (README.parent / "leaderboards/hc18/results.jsonl").open()]
    assert all(f"| `{row['model']}` | `hc18` | {row['split']}" in models for row in rows)
    python = (folder / "python.md").read_text()
    assert "*abstract* `Scorer.score_file`" in python
    assert "## medbench.challenges.card.Card\n" in python


def test_the_inventory_names_every_challenge_model_command_and_extra():
    text = (pages.DOCS / "start" / "inventory.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`]+)`", text))
    editions = [name for name in medbench.list_challenges() if name.startswith("brats")]
    assert f"| `{min(editions)}` … `{max(editions)}` | eighteen editions" in text
    assert len(editions) == 18
    assert set(medbench.list_challenges()) - set(editions) <= words
    ends = re.compile(r"(medformer_\w+)\.(?:classifier|retinanet)$")
    models = {ends.sub(r"\1", name) for name in medbench.list_models() if not name.endswith(".test")}
    families = tuple(word.removesuffix("…") for word in words if word.endswith("/…"))
    assert {name for name in models if not name.startswith(families)} <= words
    commands = typer.main.get_command(app).commands
    assert not [name for name in commands if not re.search(rf"`(?:medbench )?{name}\b", text)]
    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["project"]["optional-dependencies"]) - {"all"} <= words


def test_every_error_code_has_its_cause_and_its_mend(reference):
    folder, program = reference
    from error_codes import FORMER, error_codes

    codes, text = error_codes(program.PACKAGE), (folder / "errors.md").read_text()
    assert len(codes) > 400
    assert not [code for code in codes if "…" in code]
    for code, cases in codes.items():
        assert f"## {code}\n" in text
        assert all(any(messages) for messages, *_ in cases), code
        assert any(hints for _, hints, _ in cases), f"{code}: nothing says what to do"
    for code, former in FORMER.items():
        assert f"## {code}\n\nUntil 2026-11: `{former}`.\n" in text
        assert former not in codes
    with pytest.raises(MedbenchError) as unknown:
        medbench.load_challenge("nothing")
    assert unknown.value.code in codes
    raised = re.compile(r"(?:MedbenchError|Reject)\(\s*\"([\w.]+)\"")
    for path in program.PACKAGE.rglob("*.py"):
        assert set(raised.findall(path.read_text())) <= set(codes), path


def test_every_definition_has_formula_source_rule_for_empty_masks_and_figure(reference):
    folder, program = reference
    text = (folder / "metrics.md").read_text()
    values = program.values_on(program.pair())
    for id in medbench.list_metrics():
        convention = program.metric(id)
        assert convention.definition, id
        assert convention.source, id
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{id}` |")]
        assert program.cell(convention.definition) in line
        assert program.cell(convention.source) in line
        if convention.compares_masks:
            assert f"| {program.cell(program.rule_for_empty(convention))} |" in line
            assert f"| {program.shown(values[id])} |" in line
    groups = program.namesakes(values)
    assert set(groups) >= {"dice", "hd", "hd95", "assd", "nsd"}
    for name, group in groups.items():
        drawn = (folder / f"namesakes-{name}.svg").read_text()
        assert all(
            f">{id}</text>" in drawn and f">{program.shown(group[id])}</text>" in drawn for id in group
        )
        assert len(set(map(str, group.values()))) > 1, f"the pair does not part the definitions of {name}"
    assert (folder / "pair.svg").read_text().startswith("<svg")


@pytest.mark.slow
@pytest.mark.exhaustive  # as make check does
def test_the_site_builds_strictly(tmp_path):
    pytest.importorskip("material")
    root = tmp_path / "copy"
    shutil.copytree(pages.DOCS, root / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(pages.DOCS.parent / "mkdocs.yml", root)
    pages.called([sys.executable, "docs/write_reference.py"], root)
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
