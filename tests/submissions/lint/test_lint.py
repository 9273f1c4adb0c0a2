"""Every rule of the linter, on Dockerfiles and on made-up tiny archives read without an engine."""

import hashlib
import io
import json
import lzma
import tarfile

import pytest

from medbench.core.errors import MedbenchError
from medbench.submissions.build.context import dockerfile
from medbench.submissions.containers.archives import read_archive
from medbench.submissions.lint.image import lint_archive, lint_context, lint_dockerfile
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.kpis import KPIsPatch
from medbench.submissions.reading import parse_submission, read_submission

GOOD_FILES = {"opt/app/submission.json": b"{}", "opt/app/model/weights.pt": b"weights"}
GOOD = {
    "User": "10001:10001",
    "Entrypoint": ["python", "/opt/app/inference.py"],
    "Cmd": ["exec"],
    "Env": ["PYTHONUNBUFFERED=1"],
    "Labels": {
        "medbench.model": "dssau_net.test",
        "medbench.weights.sha256": "ab" * 32,
        "org.opencontainers.image.licenses": "Apache-2.0",
    },
}


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(
    path, config=None, layers=(GOOD_FILES,), architecture="amd64", copies=1, oci=False, pack=lambda x: x
):
    description = {"architecture": architecture, "os": "linux", "config": config or GOOD}
    image = json.dumps(description).encode()
    digest = hashlib.sha256(image).hexdigest()
    blobs = [tar(files) for files in layers]
    if oci:
        names = [f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}" for blob in blobs]
        manifest = json.dumps(
            {
                "config": {"digest": f"sha256:{digest}"},
                "layers": [{"digest": "sha256:" + name.rpartition("/")[2]} for name in names],
            }
        ).encode()
        where = hashlib.sha256(manifest).hexdigest()
        members = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps({"manifests": [{"digest": f"sha256:{where}"}] * copies}).encode(),
            f"blobs/sha256/{where}": manifest,
            f"blobs/sha256/{digest}": image,
        }
    else:
        names = [f"{index}/layer.tar" for index in range(len(blobs))]
        entry = {"Config": f"{digest}.json", "RepoTags": ["a:1"], "Layers": names}
        members = {f"{digest}.json": image, "manifest.json": json.dumps([entry] * copies).encode()}
    path.write_bytes(pack(tar({**members, **dict(zip(names, blobs, strict=True))})))
    return path, f"sha256:{digest}"


def submission(platform="grand-challenge", **changes):
    content = {
        "name": "tiny",
        "challenge": "iugc2024",
        "model": "dssau_net.test",
        "platform": platform,
        "weights": {"file": "weights.pt"},
        "interfaces": [
            {"inputs": [{"slug": "a", "path": "images/a"}], "outputs": [{"slug": "b", "path": "images/b"}]}
        ],
        **changes,
    }
    return parse_submission(content, "test")


def rules(findings, *, least=("error", "warning")):
    return [finding.rule for finding in findings if finding.severity in least]


def lint(path, described=None, weights=None):
    described = described or submission()
    return lint_archive(read_archive(path), described, load_platform(described.platform), weights)


def gz(content):
    import gzip

    return gzip.compress(content)


@pytest.mark.parametrize("pack", [lambda x: x, gz, lzma.compress], ids=["plain", "gz", "xz"])
def test_a_good_archive_has_no_finding(tmp_path, pack):
    path, digest = write_archive(tmp_path / "image.tar", pack=pack)
    assert lint(path, weights="ab" * 32) == []
    facts = read_archive(path)
    assert (facts.image_id, facts.images, facts.format) == (digest, 1, "docker-archive")
    assert dict(facts.files) == {"opt/app/submission.json": 2, "opt/app/model/weights.pt": 7}
    assert facts.image_bytes == 9


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"config": {**GOOD, "User": ""}}, "image.user", "runs as the default user, root"),
        ({"config": {**GOOD, "User": "0:5"}}, "image.user", "runs as 0:5"),
        ({"config": {**GOOD, "User": "root:root"}}, "image.user", "runs as root:root"),
        ({"architecture": "arm64"}, "image.architecture", "linux/arm64, expected linux/amd64"),
        ({"copies": 2}, "archive.images", "holds 2 images"),
        ({"oci": True}, "archive.format", "oci-archive"),
        ({"config": {**GOOD, "Entrypoint": None, "Cmd": None}}, "image.entrypoint", "neither entrypoint"),
        (
            {"config": {**GOOD, "Entrypoint": ["/bin/sh", "-c", "python run.py"]}},
            "image.entrypoint",
            "shell's line (python run.py",
        ),
        (
            {"config": {**GOOD, "Env": ["GRAND_CHALLENGE_X=1"]}},
            "image.reserved_variable",
            "GRAND_CHALLENGE_X",
        ),
        ({"layers": [{**GOOD_FILES, "tmp/model.pt": b"x"}]}, "image.reserved_path", "/tmp/model.pt"),
        ({"layers": [{**GOOD_FILES, "opt/ml/model/w": b"x"}]}, "image.reserved_path", "under /opt/ml vanish"),
        ({"layers": [{**GOOD_FILES, "input": b"x"}]}, "image.reserved_path", "/input: files under /input"),
        ({"layers": [{"opt/app/submission.json": b"{}"}]}, "weights.missing", "/opt/app/model/weights.pt"),
        ({"layers": [{"opt/app/model/weights.pt": b"w"}]}, "image.manifest", "submission.json"),
        (
            {"layers": [GOOD_FILES, {"opt/app/model/.wh.weights.pt": b""}]},
            "weights.missing",
            "is not in the image",
        ),
        (
            {"layers": [GOOD_FILES, {".wh.opt": b"", "opt/app/submission.json": b"{}"}]},
            "weights.missing",
            "is not in the image",
        ),
        (
            {"layers": [GOOD_FILES, {"opt/app/submission.json": b"{}", "opt/app/.wh..wh..opq": b""}]},
            "weights.missing",
            "is not in the image",
        ),
        ({"layers": [{**GOOD_FILES, "root/.cache/pip/x": b"x"}]}, "image.pip_cache", "pip left its cache"),
        (
            {"config": {**GOOD, "Labels": {**GOOD["Labels"], "org.grand-challenge.api-method": "invoke"}}},
            "image.label",
            'does not fit method = "exec"',
        ),
        (
            {"config": {**GOOD, "Labels": {**GOOD["Labels"], "medbench.weights.sha256": "cd" * 32}}},
            "archive.stale",
            "the weights cdcdcdcdcdcd, this build abababababab",
        ),
        ({"pack": __import__("bz2").compress}, "archive.compression", "packed by bz2"),
    ],
)
def test_rules_on_archives(tmp_path, change, rule, words):
    path, _ = write_archive(tmp_path / "image.tar", **change)
    found = lint(path, weights="ab" * 32)
    assert rules(found) == [rule]
    assert words in found[0].message
    assert found[0].advice


def test_the_same_image_twice_is_refused_by_its_digest(tmp_path):
    path, digest = write_archive(tmp_path / "image.tar")
    assert rules(lint(path, submission(uploaded=[digest]))) == ["image.duplicate"]
    assert rules(lint(path, submission(uploaded=["sha256:" + "0" * 64]))) == []


def test_the_missing_label_of_invoke_is_an_error_and_its_presence_is_not(tmp_path):
    path, _ = write_archive(tmp_path / "image.tar")
    (found,) = lint(path, submission(method="invoke"))
    assert (found.rule, found.severity) == ("image.label", "error")
    assert "LABEL org.grand-challenge.api-method" in found.advice
    labels = {**GOOD["Labels"], "org.grand-challenge.api-method": "invoke"}
    path, _ = write_archive(tmp_path / "other.tar", config={**GOOD, "Labels": labels})
    assert lint(path, submission(method="invoke")) == []


def test_size_is_judged_uncompressed_with_a_warning_before_the_limit(tmp_path, monkeypatch):
    from dataclasses import replace

    platform = load_platform("grand-challenge")
    for limit, expected in ((9, ["warning"]), (8, ["error"]), (100, [])):
        monkeypatch.setattr(
            type(platform), "limits", replace(platform.limits, image_bytes=limit), raising=True
        )
        path, _ = write_archive(tmp_path / "image.tar", pack=gz)
        assert [finding.severity for finding in lint(path)] == expected


@pytest.mark.parametrize(
    ("limit", "severity"), [(8, "error"), (9, "warning"), (12, "warning"), (13, None), (90, None)]
)
def test_the_size_is_warned_of_above_70_percent_and_refused_above_the_limit(
    tmp_path, monkeypatch, limit, severity
):
    from dataclasses import replace

    platform = load_platform("grand-challenge")
    monkeypatch.setattr(type(platform), "limits", replace(platform.limits, image_bytes=limit))
    path, _ = write_archive(tmp_path / "image.tar")
    found = lint(path)
    assert [(one.rule, one.severity) for one in found] == ([("image.size", severity)] if severity else [])
    if severity == "warning":
        assert f"{9 / limit:.0%} of the limit" in found[0].message


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("tmp", "image.reserved_path"),
        ("tmp/a", "image.reserved_path"),
        ("tmpfoo/a", None),
        ("opt/ml/a", "image.reserved_path"),
        ("opt/mlflow/a", None),
        ("inputs/a", None),
        ("data/input/a", None),
    ],
)
def test_only_what_lies_in_a_reserved_folder_is_refused(tmp_path, name, rule):
    path, _ = write_archive(tmp_path / "image.tar", layers=[{**GOOD_FILES, name: b"x"}])
    assert rules(lint(path)) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("GRAND_CHALLENGE_", "image.reserved_variable"),
        ("GRAND_CHALLENGE_A", "image.reserved_variable"),
        ("GRAND_CHALLENGER", None),
        ("MY_GRAND_CHALLENGE_A", None),
        ("LD_PRELOAD", "image.reserved_variable"),
        ("LD_LIBRARY_PATH", None),
    ],
)
def test_only_variables_that_start_with_a_reserved_prefix_are_refused(tmp_path, name, rule):
    path, _ = write_archive(tmp_path / "image.tar", config={**GOOD, "Env": [f"{name}=1"]})
    assert rules(lint(path)) == ([rule] if rule else [])


def test_root_is_a_warning_where_the_platform_allows_it_and_does_not_need_it(tmp_path, monkeypatch):
    described = submission("kpis-patch", challenge="kpis_patch", interfaces=[], registry="docker.io/me")
    path, _ = write_archive(tmp_path / "image.tar", config={**GOOD, "User": ""})
    assert lint(path, described) == []
    monkeypatch.setattr(KPIsPatch, "runs_as", ("caller",))
    (found,) = lint(path, described)
    assert (found.rule, found.severity) == ("image.user", "warning")


def test_another_user_is_an_error_where_the_output_folder_is_the_callers(tmp_path):
    described = submission("kpis-patch", challenge="kpis_patch", interfaces=[], registry="docker.io/me")
    path, _ = write_archive(tmp_path / "image.tar")
    (found,) = lint(path, described)
    assert (found.rule, found.severity) == ("image.user", "error")
    assert "mode 0755" in found.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no archive", "archive.unreadable"),
        (tar({"a.txt": b"hello"}), "archive.unreadable"),
        (gz(tar({"manifest.json": b"[]"})), "archive.unreadable"),
        (tar({"manifest.json": b'[{"Config": "c.json", "Layers": []}]'}), "archive.unreadable"),
        (
            tar({"manifest.json": b'[{"Config": "c.json", "Layers": []}]', "c.json": b"[]"}),
            "archive.unreadable",
        ),
        (b"\x28\xb5\x2f\xfd rest", "archive.compression"),
    ],
)
def test_what_is_no_image_is_told(tmp_path, content, code):
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        read_archive(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message


def test_a_truncated_archive_is_told(tmp_path):
    path, _ = write_archive(tmp_path / "image.tar.gz", pack=gz)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MedbenchError, match="is no saved image"):
        read_archive(path)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("USER 10001:10001", "USER root", "image.user"),
        ("USER 10001:10001\n", "", "image.user"),
        ("--platform=linux/amd64 ", "", "image.architecture"),
        ("3.11.7-slim-bookworm", "latest", "image.base"),
        (":3.11.7-slim-bookworm", "", "image.base"),
        ("--no-cache-dir ", "", "image.pip_cache"),
        ('ENTRYPOINT ["python", "/opt/app/inference.py"]', "ENTRYPOINT python run.py", "image.entrypoint"),
        ('ENTRYPOINT ["python", "/opt/app/inference.py"]\n', "", "image.entrypoint"),
        ("WORKDIR /opt/app", "WORKDIR /opt/app\nCOPY m /opt/ml/model/m", "image.reserved_path"),
        ("WORKDIR /opt/app", "WORKDIR /opt/app\nCOPY m /tmp", "image.reserved_path"),
        ("WORKDIR /opt/app", "WORKDIR /opt/app\nADD https://x.org/w.pt /opt/app/", "image.add"),
        ("ENV PYTHONUNBUFFERED", "ENV GRAND_CHALLENGE_A=1 PYTHONUNBUFFERED", "image.reserved_variable"),
        ("ENV PYTHONUNBUFFERED", "ENV GRAND_CHALLENGE_A 1\nENV PYTHONUNBUFFERED", "image.reserved_variable"),
        ('medbench.model="dssau_net.test"', "", "image.label"),
    ],
)
def test_rules_on_dockerfiles(built, old, new, rule):
    platform = built.platform
    text = dockerfile(built).replace(_python(), "3.11.7")
    assert rules(lint_dockerfile(text, built.submission, platform)) == []
    assert old in text
    found = list(lint_dockerfile(text.replace(old, new), built.submission, platform))
    assert rules(found) == [rule]
    assert all(finding.advice for finding in found)


def _python():
    import platform

    return platform.python_version()


def test_a_context_is_checked_for_weights_and_for_its_age(built, tmp_path, write_submission):
    import shutil

    context = tmp_path / "context"
    shutil.copytree(built.context, context)
    assert rules(lint_context(context, built.submission, built.platform)) == []
    other = read_submission(write_submission("tiny", method="invoke"))
    write_submission("tiny")
    assert "context.stale" in rules(lint_context(context, other, built.platform))
    (context / "app" / "model" / "weights.pt").write_bytes(b"x")
    assert rules(lint_context(context, built.submission, built.platform)) == ["weights.other"]
    (context / "app" / "model" / "weights.pt").unlink()
    assert rules(lint_context(context, built.submission, built.platform)) == ["weights.missing"]
    (context / "requirements.lock").write_text("numpy>=2\n")
    assert "lock.loose" in rules(lint_context(context, built.submission, built.platform))
    (context / "app" / "submission.json").unlink()
    assert "context.manifest" in rules(lint_context(context, built.submission, built.platform))


def test_layers_hide_what_lies_below_them_and_nothing_of_their_own():
    from medbench.submissions.containers.archives import _Layer, _merged

    lower = _Layer({"a/old": 1, "a/kept": 2, "b": 3, ".hidden": 4}, 10)
    opaque = _Layer({"a/new": 5, "a/.wh..wh..opq": 0}, 5)
    assert _merged([lower, opaque]) == {"a/new": 5, "b": 3, ".hidden": 4}
    assert _merged([lower, _Layer({".wh.a": 0, "b": 6}, 6)]) == {"b": 6, ".hidden": 4}
    assert _merged([lower, _Layer({".wh..wh..opq": 0, "c": 7}, 7)]) == {"c": 7}
