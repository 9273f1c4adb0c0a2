"""Every listing is also JSON."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.console import print_table
from medbench.cli.main import app
from medbench.cli.results import show_finished
from medbench.core.errors import MedbenchError
from medbench.leaderboards.results import load_board, read_results
from medbench.records.reading import Finished, read_run
from medbench.records.tables import RESULT_HEADINGS, heading, interval, number

BOARDS = Path(__file__).parents[2] / "leaderboards"
runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("verb", ["models", "challenges", "metrics"])
def test_listings_as_table_and_json(verb):
    table, listing = invoke(verb), invoke(verb, "--json")
    assert table.exit_code == listing.exit_code == 0
    entries = json.loads(listing.stdout)
    names = [entry.get("name") or entry["id"] for entry in entries]
    assert len(names) == len(set(names)) > 0
    assert names[0] in table.stdout


@pytest.mark.parametrize("verb", ["models", "challenges", "metrics"])
def test_list_is_the_verb_without_a_word(verb):
    assert invoke(verb, "list").stdout == invoke(verb).stdout


def test_the_tiny_models_of_tests_are_listed_when_asked_for():
    assert ".test " not in invoke("models").stdout
    assert "dssau_net.test" in invoke("models", "--match", "*.test").stdout


@pytest.mark.parametrize("width", [90, 200])
def test_a_piped_table_is_as_wide_as_columns_says(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = invoke("models", "--match", "smp/*").stdout.splitlines()
    assert max(map(len, lines)) <= width


def table_lines(text):
    return [line for line in text.splitlines() if line[:1] in "┏┃┡│└"]


@pytest.mark.parametrize("name", ["acdc", "kpis_patch", "tvsum", "psfhs", "hc18", "brain_tumor_mri"])
def test_boards_fit_into_a_terminal_of_eighty_columns_and_lose_nothing(name, monkeypatch):
    """Field case: costs beside the scores made lines of 178 columns, which terminals break."""
    monkeypatch.setenv("COLUMNS", "80")
    text = invoke("leaderboard", "show", name, "--leaderboards", BOARDS).stdout
    assert max(map(len, table_lines(text))) <= 80
    for table in load_board(BOARDS, name).tables:
        for entry in table.entries:
            assert [words for words in (entry.run[:8], *entry.costs) if words not in text] == []
            for metric in table.metrics:
                cell = entry.cells.get(metric.name)
                if metric.headline and cell is not None and cell.value is not None:
                    assert number(cell.value, metric.unit) in text


@pytest.mark.parametrize(
    ("name", "options"), [("psfhs", ()), ("hc18", ()), ("hc18", ("--metric", "dice", "--margin", "0.1"))]
)
def test_a_comparison_fits_into_a_terminal_of_eighty_columns(name, options, monkeypatch):
    """Field case: its lines had 120 columns, of which cases and groups were the same in every row."""
    monkeypatch.setenv("COLUMNS", "80")
    keys = [row["key"][:12] for row in read_results(BOARDS, name)][:2]
    words = ("compare", *keys, *options, "--leaderboards", BOARDS)
    text = invoke(*words).stdout
    assert max(map(len, table_lines(text))) <= 80
    shown = re.sub(r"[│┃\s]+", " ", text)
    for difference in json.loads(invoke(*words, "--json").stdout):
        unit = difference["unit"]
        for value in (difference["first"]["value"], difference["second"]["value"], difference["difference"]):
            assert value is None or number(abs(value), unit) in shown


def test_the_result_of_a_run_fits_into_a_terminal_of_eighty_columns(monkeypatch, capsys):
    folder = next((BOARDS / "kpis_patch" / "evidence").iterdir())
    run = read_run(folder)
    monkeypatch.setenv("COLUMNS", "80")
    show_finished(Finished(run.record, list(run.rows.values()), folder), as_json=False)
    lines = table_lines(capsys.readouterr().out)
    assert max(map(len, lines)) <= 80
    cells = {cell.strip() for line in lines for cell in re.split("[│┃]", line)}
    for metric in run.record.metrics.values():
        spread = interval(metric.ci95_low, metric.ci95_high, metric.unit)
        assert {heading(metric), number(metric.value, metric.unit), spread, str(metric.scored)} <= cells
    assert {word for words in RESULT_HEADINGS for word in words.split()} <= {
        word for line in lines for word in re.split(r"[│┃\s]+", line)
    }


@pytest.mark.parametrize("setting", ["abc", "-5", "0", "8e1", ""])
def test_columns_that_name_no_width_are_as_if_there_were_none(setting, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    expected = invoke("models", "--match", "smp/*").stdout
    monkeypatch.setenv("COLUMNS", setting)
    assert invoke("models", "--match", "smp/*").stdout == expected


@pytest.mark.parametrize(
    "verbs", [(), ("models",), ("challenges",), ("metrics",), ("data",), ("leaderboard",), ("submit",)]
)
def test_no_summary_of_a_verb_is_cut(verbs):
    assert "..." not in invoke(*verbs, "--help").stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    "arguments",
    [("models", "show", "dssau_net"), ("challenges", "show", "iugc2024"), ("metrics", "show", "hd95.pooled")],
)
def test_one_entry_as_table_and_json(arguments):
    assert arguments[-1] in invoke(*arguments).stdout or invoke(*arguments).exit_code == 0
    assert json.loads(invoke(*arguments, "--json").stdout)


def test_doctor_reports_packages_and_folders():
    done = invoke("doctor", "--json")
    found = {entry["what"]: entry for entry in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert found["numpy"]["fine"]
    assert any("MEDBENCH_CACHE" in what for what in found)


def test_doctor_tells_of_a_configured_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "none"))
    entries = {entry["what"]: entry for entry in json.loads(invoke("doctor", "--json").stdout)}
    data = entries["real data (MEDBENCH_DATA)"]
    assert not data["fine"]
    assert "there is no such folder" in json.dumps(data)
    assert len(entries) > 10


def test_doctor_names_what_killed_commands_left(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "leaderboards"))
    entries = {entry["what"]: entry for entry in json.loads(invoke("doctor", "--json").stdout)}
    assert entries["unfinished files"]["found"] == "none"
    left = tmp_path / "runs/hc18/m/key" / f".partial-{'0' * 32}.json"
    left.parent.mkdir(parents=True)
    left.touch()
    entries = {entry["what"]: entry for entry in json.loads(invoke("doctor", "--json").stdout)}
    assert not entries["unfinished files"]["fine"]
    assert entries["unfinished files"]["found"] == f"1, the first is {left}"
    assert "Delete them" in entries["unfinished files"]["advice"]


def test_evaluate_as_json_and_its_exit_code(small_iugc, tmp_path):
    (tmp_path / "segmentation").mkdir()
    masks = sorted((small_iugc / "test/seg").glob("*.png"))
    for path in masks[1:]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = invoke(
        "evaluate",
        "-c",
        "iugc2024",
        "--data",
        small_iugc,
        "-p",
        tmp_path,
        "--cases",
        "segmentation/*",
        "--json",
    )
    record = json.loads(done.stdout)
    assert done.exit_code == 1
    assert record["counts"] == {"total": 4, "ok": 3, "failed": 0, "missing": 1}
    assert record["metrics"]["dice_all"]["value"] == pytest.approx(0.75)
    assert record["metrics"]["dice_all"]["missing"] == 1


def test_the_report_escapes_what_users_name(small_iugc, tmp_path):
    (tmp_path / "p").mkdir()
    for path in (small_iugc / "test/seg").glob("*.png"):
        (tmp_path / "p" / path.name).write_bytes(path.read_bytes())
    done = invoke(
        "evaluate", "-c", "iugc2024", "--data", small_iugc, "-p", tmp_path / "p", "--cases", "segmentation/*",
        "--name", "<script>alert(1)</script>", "--json",
    )  # fmt: skip
    folder = json.loads(done.stdout)["folder"]
    page = Path(folder, "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/png;base64,") == 4
    without_bibtex = re.sub(r'<pre data-copy="BibTeX">.*?</pre>', "", page, flags=re.DOTALL)
    assert "http" not in without_bibtex.replace("http-equiv", "")


def test_data_check_exits_with_1_on_an_error(small_iugc, tmp_path):
    assert invoke("data", "check", "iugc2024", small_iugc).exit_code == 0
    import shutil

    broken = shutil.copytree(small_iugc, tmp_path / "broken")
    next(iter((broken / "test/seg").glob("*.png"))).unlink()
    assert invoke("data", "check", "iugc2024", broken).exit_code == 1


def test_data_check_names_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MedbenchError, match="hc: there is no such folder") as refusal:
        load_challenge("hc18").release.check(tmp_path / "hc")
    assert refusal.value.code == "data.missing"


def test_findings_that_begin_with_figures_are_words_to_the_left(capsys):
    rows = [("note", "50 videos of raw annotations"), ("note", "1 file")]
    print_table("", ("severity", "finding"), rows, wrap=(1,))
    assert any(line.startswith("│ note     │ 1 file ") for line in capsys.readouterr().out.splitlines())
