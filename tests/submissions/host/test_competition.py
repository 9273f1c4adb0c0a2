"""The linter of competition bundles, on what ``submit host`` writes and on changes to it."""

import zipfile

import pytest
import yaml

from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HostRequest
from medbench.submissions.lint.competition import lint_competition
from medbench.submissions.lint.hosted import lint_hosted
from medbench.submissions.workflow import check

QUIET = SilentProgress()


def write_bundle(competition, path, change=None, without=""):
    folder = competition.folder / "bundle"
    content = yaml.safe_load((folder / "competition.yaml").read_text())
    if change:
        change(content)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            name = file.relative_to(folder).as_posix()
            if name != without and name != "competition.yaml":
                archive.write(file, name)
        archive.writestr("competition.yaml", yaml.safe_dump(content))
    return list(lint_competition(path))


def set_in(*path_and_value):
    """A change that sets a value, or takes a key out."""
    *path, value = path_and_value

    def change(content):
        for part in path[:-1]:
            content = content[part]
        if value is None:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


def computed(name, indexes):
    """A change that lets the platform compute the first column."""

    def change(content):
        content["leaderboards"][0]["columns"][0] |= {"computation": name, "computation_indexes": indexes}

    return change


def followed_at(moment):
    """A change that ends the first phase and starts a second one at a moment."""

    def change(content):
        (first,) = content["phases"]
        second = {**first, "name": "final", "index": 1, "start": moment}
        content["phases"] = [second, {**first, "end": "2026-02-01"}]  # as the platform does, by their index

    return change


QUESTION = {
    "key": "team",
    "type": "text",
    "title": "Team",
    "selection": "",
    "is_required": "false",
    "is_on_leaderboard": "false",
}


@pytest.mark.parametrize(
    ("change", "without", "rule", "words"),
    [
        (set_in("title", None), "", "competition.key", "'title' is missing"),
        (set_in("phases", []), "", "competition.key", "'phases' is missing or empty"),
        (set_in("tasks", "all"), "", "competition.key", "'tasks' is no list"),
        (set_in("version", 1), "", "competition.version", "expected 2"),
        (set_in("docker_image", None), "", "competition.image", "codalab/codalab-legacy:py37"),
        (set_in("docker_image", "docker.io/Me/a:1"), "", "competition.image", "'Me' may hold lower-case"),
        (set_in("competition_type", "contest"), "", "competition.value", "competition_type contest"),
        (set_in("title", "t" * 257), "", "competition.value", "title has 257 letters"),
        (None, "logo.png", "competition.file", "image: logo.png is not in the zip"),
        (None, "overview.md", "competition.file", "page Overview: overview.md is not in the zip"),
        (set_in("tasks", 0, "input_data", "inputs"), "", "competition.file", "inputs is not in the zip"),
        (set_in("tasks", 0, "scoring_program", None), "", "competition.key", "'scoring_program' is missing"),
        (set_in("tasks", 0, "input_data", None), "", "competition.key", "without input_data"),
        (None, "ingestion_program/ingestion.py", "competition.program", "has no ingestion.py"),
        (None, "scoring_program/metadata.yaml", "competition.program", "has no metadata.yaml"),
        (set_in("phases", 0, "tasks", [3]), "", "competition.task", "task 3 is not there"),
        (
            lambda content: content["tasks"].append(dict(content["tasks"][0])),
            "",
            "competition.task",
            "task 0: another task has this index",
        ),
        (set_in("phases", 0, "max_submissions", "many"), "", "competition.value", "max_submissions many"),
        (
            set_in("phases", 0, "auto_migrate_to_this_phase", True),
            "",
            "competition.value",
            "nothing can migrate to the first phase",
        ),
        (set_in("phases", 0, "start", "soon"), "", "competition.date", "start soon is no date"),
        (set_in("phases", 0, "end", "2025-01-01"), "", "competition.date", "ends before it starts"),
        (
            lambda content: content["phases"].append({**content["phases"][0], "name": "final"}),
            "",
            "competition.date",
            "phase final: the phase before it has no end",
        ),
        (followed_at("2026-02-01"), "", "competition.date", "has ended, or at that moment"),
        (set_in("phases", 0, "execution_time_limit", "1 h"), "", "competition.limit", "1 h"),
        (set_in("leaderboards", 0, "columns", []), "", "competition.column", "has no columns"),
        (set_in("leaderboards", 0, "columns", 0, "sorting", "up"), "", "competition.column", "sorting up"),
        (set_in("leaderboards", 0, "columns", 1, "key", "dice"), "", "competition.column", "twice"),
        (
            set_in("leaderboards", 0, "columns", 1, "index", 0),
            "",
            "competition.column",
            "no number of its own",
        ),
        (set_in("leaderboards", 0, "columns", 1, "title", None), "", "competition.column", "has no title"),
        (
            set_in("leaderboards", 0, "columns", 1, "title", "t" * 37),
            "",
            "competition.value",
            "has 37 letters",
        ),
        (set_in("leaderboards", 0, "key", None), "", "competition.key", "'key' is missing"),
        (
            set_in("leaderboards", 0, "submission_rule", "Best"),
            "",
            "competition.value",
            "submission_rule Best",
        ),
        (computed("mean", [1]), "", "competition.value", "computation mean"),
        (computed("avg", None), "", "competition.column", "go together"),
        (computed("avg", [0]), "", "competition.column", "0 is no index of another column"),
        (computed("avg", "1,9"), "", "competition.column", "9 is no index of another column"),
        (set_in("fact_sheet", ["name"]), "", "competition.value", "holds no questions"),
        (set_in("fact_sheet", {"team": {"key": "team"}}), "", "competition.value", "other keys"),
        (set_in("fact_sheet", {"team": {**QUESTION, "key": "a"}}), "", "competition.value", "its key is a"),
        (set_in("fact_sheet", {"team": {**QUESTION, "type": "date"}}), "", "competition.value", "type date"),
    ],
)
def test_rules_on_competition_bundles(competition, tmp_path, change, without, rule, words):
    found = write_bundle(competition, tmp_path / "a.zip", change, without)
    assert rule in {one.rule for one in found}
    assert words in " ".join(one.message for one in found)
    assert all(one.advice and one.severity == "error" for one in found)


def test_values_that_the_platform_takes_are_no_findings(competition, tmp_path):
    def change(content):
        computed("avg_rank", "1,2")(content)
        followed_at("2026-02-02")(content)
        content["competition_type"] = "benchmark"
        content["fact_sheet"] = {"team": QUESTION}
        content["leaderboards"][0]["submission_rule"] = "Force_Best"
        content["tasks"].append({"index": 1, "key": "8f2d0e0c-6c1e-4f0e-9d5a-000000000000"})

    assert write_bundle(competition, tmp_path / "a.zip", change) == []


def test_an_image_that_nobody_owns_and_an_empty_page_are_told(competition, tmp_path):
    found = write_bundle(competition, tmp_path / "a.zip", set_in("docker_image", competition.tag))
    assert [(one.rule, one.severity) for one in found] == [("competition.image", "warning")]
    assert "no worker can pull" in found[0].message
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for file in (competition.folder / "bundle").rglob("*"):
            name = file.relative_to(competition.folder / "bundle").as_posix()
            archive.writestr(name, b"" if name == "terms.md" or file.is_dir() else file.read_bytes())
    (found,) = lint_competition(tmp_path / "b.zip")
    assert (found.rule, "terms.md is empty" in found.message) == ("competition.file", True)


def aliases(depth):
    """YAML of few letters whose last key holds a text that stands there nine to the power of depth times."""
    lines = ["a0: &a0 x"]
    for level in range(1, depth + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join([*lines, f"version: *a{depth}"])


def reordered_aliases(depth):
    """YAML of lists that hold one another, of which the outermost stands first once it is read."""
    lines = [f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, depth)]
    return "\n".join(["a0: &a0 []", *lines, f"<<: {{version: *a{depth - 1}}}"])


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        (aliases(12), "competition.syntax", "its aliases repeat more than 100,000 values"),
        ("version: &a [*a]", "competition.syntax", "its aliases repeat more than 100,000 values"),
        ("pages: " + "[" * 5000, "competition.syntax", "its lists are nested too deep"),
        ("start: 2026-13-45", "competition.syntax", "month must be in 1..12"),
        ("start: 2026-01-01 25:00:00", "competition.syntax", "hour must be in 0..23"),
        ("a: !!bool 2", "competition.syntax", "not of the type that its tag names"),
        ("a: !!timestamp x", "competition.syntax", "not of the type that its tag names"),
        (reordered_aliases(3000), "competition.syntax", "its lists are nested too deep"),
        ("a: \x00", "competition.syntax", "special characters are not allowed"),
        ("#" * (1 << 24), "bundle.too_large", "competition.yaml takes 16,777,216 bytes, at most 1,048,576."),
    ],
)
def test_a_bundle_that_would_fill_the_memory_or_is_no_yaml_is_one_finding(tmp_path, text, rule, words):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("competition.yaml", text)
        archive.writestr("program/metadata.yaml", text)
    assert (tmp_path / "a.zip").stat().st_size < 1 << 16
    (one,) = lint_competition(tmp_path / "a.zip")
    assert one.rule == rule
    assert words in one.message


def test_a_bundle_that_is_damaged_encrypted_or_overlaps_is_one_finding(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("competition.yaml", "version: 2")
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")
    for name, place, value in (
        ("damaged", whole.index(b"version"), b"V"), ("unreadable", entry + 8, b"\x01"),
        ("unreadable", entry + 10, b"\x63"), ("damaged", entry + 20, b"\xff\xff"),
    ):  # fmt: skip
        path.write_bytes(whole[:place] + value + whole[place + len(value) :])
        (one,) = lint_competition(path)
        assert one.rule == f"bundle.{name}", one


def test_what_submit_host_writes_lints_clean_and_damage_is_told(competition, release, tmp_path):
    assert write_bundle(competition, tmp_path / "a.zip") == []
    found, looked_at = check(competition.folder, None, tmp_path)
    assert {one.severity for one in found} == {"note"}
    assert looked_at == [str(competition.folder)]
    (tmp_path / "b.zip").write_bytes(b"nothing")
    assert [one.rule for one in check(tmp_path / "b.zip", None, tmp_path)[0]] == ["bundle.unreadable"]
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("bundle/competition.yaml", "version: 2")
    assert "lies in a folder" in next(iter(lint_competition(tmp_path / "c.zip"))).message
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("competition.yaml", "a: [")
    assert [one.rule for one in lint_competition(tmp_path / "d.zip")] == ["competition.syntax"]
    hosted = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "build", QUIET)
    assert {one.severity for one in lint_hosted(hosted.folder)} == {"note"}
    (hosted.image / "requirements.lock").write_text("numpy\n")
    (hosted.program / "evaluation.json").unlink()
    hosted.truth.write_bytes(b"x")
    dockerfile = hosted.image / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("USER 10001:10001", "USER root"))
    rules = [one.rule for one in lint_hosted(hosted.folder) if one.severity == "error"]
    assert rules == ["image.user", "lock.loose", "host.program", "host.truth"]
    with pytest.raises(MedbenchError, match="holds no evaluation program"):
        list(lint_hosted(tmp_path))
