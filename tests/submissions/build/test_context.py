"""What a build holds, and what submission files may say."""

import contextlib
import importlib.metadata
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from medbench.challenges import list_challenges, load_challenge
from medbench.core.errors import MedbenchError
from medbench.models import list_models, model_entry
from medbench.submissions.build.context import build_context, check_submission
from medbench.submissions.build.dockerfile import label_lines
from medbench.submissions.build.locking import lock, needed_packages, requirement_lines
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.build.wheels import CUDA_BUILDS, torch_build, torch_index
from medbench.submissions.platforms import list_platforms, load_platform, platform_for
from medbench.submissions.platforms.base import SavedArchive
from medbench.submissions.reading import parse_submission, read_submission
from medbench.submissions.template import submission_text, write_submission
from medbench.submissions.workflow import build, save

READY = sorted((Path(__file__).parents[3] / "submissions").glob("*/*.toml"))
PACKAGE_FILES = Path(__file__).parents[2] / "core" / "package_files"


def test_the_context_holds_code_weights_manifest_and_the_versions_of_this_environment(built):
    manifest = json.loads((built.app / "submission.json").read_text())
    import hashlib

    baked = (built.app / "model" / "weights.pt").read_bytes()
    assert manifest["weights_sha256"] == hashlib.sha256(baked).hexdigest()
    locked = json.loads((built.context / "lock.json").read_text())
    for name in ("numpy", "scipy", "nibabel", "torch", "torchvision", "pydantic"):
        assert locked[name] == importlib.metadata.version(name)
    assert not {"typer", "rich", "monai", "timm", "pytest", "lightning"} & set(locked)
    lines = (built.context / "requirements.lock").read_text().split()
    assert [line for line in lines if line.startswith(("nvidia-", "cuda-", "triton"))] == []
    assert {line.partition("==")[0] for line in lines} <= set(locked)
    assert f"numpy=={locked['numpy']}" in lines
    assert f"torch=={locked['torch'].partition('+')[0]}+cpu" in lines
    package = built.app / "medbench"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert files == set((PACKAGE_FILES / "container.txt").read_text().split())


def test_the_dockerfile_is_multi_stage_non_root_exec_form_and_labelled(built):
    text = (built.context / "Dockerfile").read_text()
    assert text.count("FROM ") == 3
    assert text.startswith("FROM --platform=linux/amd64 docker.io/library/python:3.")
    assert 'USER 10001:10001\nENTRYPOINT ["python", "/opt/app/inference.py"]\nCMD ["exec"]\n' in text
    (labels,) = [line for line in text.replace("\\\n", "").splitlines() if line.startswith("LABEL ")]
    assert f' medbench.weights.sha256="{built.manifest["weights_sha256"]}"' in labels
    assert ' org.opencontainers.image.licenses="Apache-2.0"' in labels
    assert "PYTHONUNBUFFERED=1" in text
    assert "org.grand-challenge.api-method" not in text


def test_labels_are_one_instruction_and_stay_as_they_are():
    (line,) = label_lines({"author": 'Ada "A" Müller', "title": "$HOME \\ more\nlines"})
    assert line.splitlines() == [
        'LABEL author="Ada \\"A\\" Müller" \\',
        '      title="\\$HOME \\\\ more lines"',
    ]
    assert label_lines({}) == []


def test_invoke_is_a_label_and_a_cuda_build_takes_cuda_wheels(write_submission, small_iugc, tmp_path):
    file = write_submission("cuda", "invoke", change=("[image]", '[image]\naccelerator = "cuda"'))
    built = build_context(BuildRequest(file, data=small_iugc, output=tmp_path))
    text = (built.context / "Dockerfile").read_text()
    assert 'LABEL org.grand-challenge.api-method="invoke" ' in text
    assert 'CMD ["invoke"]' in text
    assert "/whl/cu126 " in text
    assert "+cu126" in (built.context / "requirements.lock").read_text()


def test_a_cuda_build_is_one_that_exists_and_check_says_what_the_gpu_does(write_submission, monkeypatch):
    file = write_submission("gpu", change=("[image]", '[image]\naccelerator = "cuda"'))
    platform = load_platform("grand-challenge")

    def gpu(path):
        return [one for one in check_submission(read_submission(path), platform) if "gpu" in one.rule]

    (used,) = gpu(file)
    assert (used.severity, "cu126" in used.message) == ("note", True)
    (limits,) = [one for one in check_submission(read_submission(file), platform) if "limits" in one.rule]
    own = platform.limits
    for amount in (f"{own.memory_bytes / 1e9:g} GB", f"{own.processes} processes", f"{own.time_s:g} s"):
        assert amount in limits.message
    (unused,) = gpu(write_submission("no-gpu"))
    assert "GPU of the platform stays unused" in unused.message
    own = importlib.metadata.version("torch")
    release = ".".join(own.split(".")[:2])
    assert torch_build("cuda", own) in CUDA_BUILDS[release]
    with pytest.raises(MedbenchError) as caught:
        requirement_lines({"torch": "2.99.0"}, "cuda")
    assert caught.value.code == "lock.cuda"
    assert requirement_lines({"torch": "2.99.0"}, "cpu") == ["torch==2.99.0+cpu"]


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_the_lock_resolves_on_the_index_that_it_names(accelerator):
    import os
    import subprocess
    import sys

    if not os.environ.get("MEDBENCH_TEST_TORCH_INDEX"):
        pytest.skip("skipped: set MEDBENCH_TEST_TORCH_INDEX=1 where torch's index can be reached")
    versions = {name: importlib.metadata.version(name) for name in ("torch", "torchvision")}
    lines = requirement_lines(versions, accelerator)
    index = torch_index(accelerator, versions["torch"])
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    done = subprocess.run([*command, "--extra-index-url", index, *lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_no_line_of_the_lock_contradicts_another(built, accelerator):
    """What pip asks of the lock, asked of the installed packages' own metadata: no index is needed."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = requirement_lines(built.packages(), accelerator)
    locked = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}
    assert locked["torch"].endswith("+cpu" if accelerator == "cpu" else "+cu126")
    assert locked["torchvision"].partition("+")[2] == locked["torch"].partition("+")[2]
    asked = 0
    for name in locked:
        for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            key = canonicalize_name(requirement.name)
            assert key in locked or key.startswith(("nvidia-", "cuda-", "triton")), (name, str(requirement))
            if key in locked:
                assert requirement.specifier.contains(locked[key], prereleases=True), (name, str(requirement))
                asked += 1
    assert asked > 10


def test_every_release_of_the_table_has_a_build_and_its_index():
    for release, builds in CUDA_BUILDS.items():
        build = torch_build("cuda", f"{release}.0+cpu")
        assert build in builds
        assert torch_index("cuda", f"{release}.9").endswith(f"/whl/{build}")
        assert requirement_lines({"torch": f"{release}.1", "nvidia-nccl-cu12": "2"}, "cuda") == [
            f"torch=={release}.1+{build}"
        ]
        assert list(builds) == sorted(builds)


def test_the_list_of_materials_names_every_package_and_the_weights(built):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (built.app / "sbom.cdx.json").read_text()
    content = json.loads(text)
    locked = json.loads((built.context / "lock.json").read_text())
    packages = {one["name"]: one for one in content["components"] if one["name"] != "weights"}
    assert {name: one["version"] for name, one in packages.items()} == locked
    assert packages["numpy"]["purl"] == f"pkg:pypi/numpy@{locked['numpy']}"
    assert packages["numpy"]["licenses"]
    (weights,) = [one for one in content["components"] if one["name"] == "weights"]
    assert weights["hashes"] == [{"alg": "SHA-256", "content": built.manifest["weights_sha256"]}]
    with contextlib.suppress(ImportError):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_auto_trains_nothing_unless_that_is_asked_for(write_submission, tmp_path, monkeypatch):
    from medbench.submissions.build import job

    file = write_submission("untrained", change=('file = "weights.pt"', 'file = "auto"'))
    monkeypatch.setattr(job, "resolve", lambda *names, **rest: pytest.fail("it went on"))
    with pytest.raises(MedbenchError) as caught:
        build_context(BuildRequest(file, output=tmp_path))
    assert caught.value.code == "weights.untrained"
    assert "medbench train -m dssau_net.test -c iugc2024 --data DIR" in caught.value.hint

    def resolve(request, progress):
        raise MedbenchError("test.went_on", request.weights, "")

    monkeypatch.setattr(job, "resolve", resolve)
    with pytest.raises(MedbenchError) as caught:
        build_context(BuildRequest(file, output=tmp_path, train=True))
    assert (caught.value.code, caught.value.message) == ("test.went_on", "auto")


def test_the_same_submission_gives_the_same_context(write_submission, small_iugc, tmp_path):
    file = write_submission("alike", delivery="mounted")
    listings = []
    for name in ("a", "b"):
        built = build_context(BuildRequest(file, small_iugc, output=tmp_path / name))
        paths = sorted(built.context.rglob("*"))
        listings.append(
            [
                (
                    path.relative_to(built.context).as_posix(),
                    oct(path.stat().st_mode),
                    path.stat().st_mtime,
                    path.read_bytes() if path.is_file() else b"",
                )
                for path in paths
            ]
        )
        listings[-1].append(built.model_archive.read_bytes())
    assert listings[0] == listings[1]
    assert {mode for _, mode, *_ in listings[0][:-1]} == {"0o100644", "0o40755"}
    assert {time for _, _, time, _ in listings[0][:-1]} == {315532800}


def test_mounted_weights_are_an_archive_with_the_same_bytes_each_time(write_submission, small_iugc, tmp_path):
    file = write_submission("apart", delivery="mounted")
    contents = []
    for name in ("a", "b"):
        built = build_context(BuildRequest(file, data=small_iugc, output=tmp_path / name))
        assert not (built.app / "model").exists()
        with tarfile.open(built.model_archive) as archive:
            assert archive.getnames() == ["weights.pt"]
            contents.append(archive.extractfile("weights.pt").read())
    assert contents[0] == contents[1] == (file.parent / "weights.pt").read_bytes()


def test_only_what_the_model_needs_is_locked():
    def names(model, slides=False):
        return set(lock(needed_packages(model, model_entry(model), slides=slides)))

    assert "timm" not in names("dssau_net")
    assert {"timm", "segmentation-models-pytorch"} <= names("smp/unet")
    assert "monai" in names("monai/unet")
    assert "zarr" not in names("smp/unet")
    assert {"zarr", "tiffslide", "imagecodecs"} <= names("smp/unet", slides=True)
    with pytest.raises(MedbenchError) as caught:
        lock(["a-package-that-nobody-has"])
    assert caught.value.code == "lock.missing"


def test_the_build_without_an_engine_says_how_to_go_on(write_submission, small_iugc, tmp_path):
    from medbench.core.progress import SilentProgress

    lines = list(
        build(BuildRequest(write_submission(), small_iugc, output=tmp_path / "a b"), "none", SilentProgress())
    )
    context = tmp_path / "a b" / "tiny" / "context"
    assert lines[0].startswith(f"context: {context}")
    assert lines[2].strip().startswith("elsewhere: docker build --platform linux/amd64 --tag medbench/tiny:")
    assert lines[2].endswith(f" '{context}'")
    with pytest.raises(MedbenchError) as caught:
        list(save(write_submission(), tmp_path / "a b", "none"))
    assert caught.value.code == "save.not_rehearsed"


@pytest.mark.parametrize("platform", list_platforms())
def test_every_template_is_read_back_for_every_platform(platform):
    loaded = load_platform(platform)
    challenges = [name for name in list_challenges() if name_fits(name, loaded.challenges)] or ["iugc2024"]
    for challenge in challenges:
        model = "dmaf_net" if load_challenge(challenge).card.modalities else "dssau_net"
        model = model if model in list_models() else "dssau_net"
        model = "heatmap_unet" if "landmarks" in load_challenge(challenge).card.demands else model
        text = submission_text(challenge, model, platform)
        described = parse_submission(tomllib.loads(text), "template")
        assert described.platform == platform
        steps = list(loaded.steps(described, SavedArchive(Path("a.tar.gz"), "medbench/a:1")))
        assert steps
        assert not any("medbench/a " in step or "PROJECT" in step for step in steps)
        assert [f for f in loaded.check(described) if f.severity == "error"] == []
    assert loaded.source


def name_fits(name, patterns):
    from fnmatch import fnmatch

    return any(fnmatch(name, pattern) for pattern in patterns)


def test_every_setting_of_the_template_is_a_key():
    import re

    text = submission_text("brats2025_gli", "monai/unet")
    part = text[text.index("[inference]") : text.index("[image]")]
    described = parse_submission(tomllib.loads(text.replace(part, re.sub(r"(?m)^# ", "", part))), "all")
    assert described.inference.model_dump() == {
        "precision": "fp32",
        "batch_size": 8,
        "image_size": 512,
        "overlap": 0.5,
        "mirror": True,
    }


def test_the_platform_of_a_challenge_is_found():
    assert platform_for("kpis_patch") == "kpis-patch"
    assert platform_for("brats2025_gli") == "brats-docker"
    assert platform_for("brats2023_gli") == "brats-mlcube"
    with pytest.raises(MedbenchError) as caught:
        platform_for("cvc_clinicdb")
    assert caught.value.code == "platform.undecided"


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_the_ready_submissions_suit_their_platforms(path):
    content = tomllib.loads(path.read_text())
    if content["challenge"] not in list_challenges() or content["model"] not in list_models():
        pytest.skip(f"{content['challenge']} or {content['model']} is not registered")
    described = read_submission(path)
    assert path.parent.name == described.challenge
    assert path.stem == described.name
    findings = load_platform(described.platform).check(described)
    assert [finding for finding in findings if finding.severity == "error"] == []


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('name = "bad"', 'name = "Bad Name"', "submission.key", "name: may hold lower-case letters"),
        ('name = "bad"', 'name = "bad"\ncolour = 1', "submission.key", "there is no key 'colour'"),
        ("image_size = 64", "image_sise = 64", "submission.key", "there is no key 'inference.image_sise'"),
        ("image_size = 64", "image_size = 1", "submission.key", "inference.image_size"),
        ("dssau_net.test", "dssau", "model.unknown", "There is no model named 'dssau'"),
        ('"iugc2024"', '"iugc24"', "challenge.unknown", "There is no challenge named 'iugc24'"),
        ('"grand-challenge"', '"grand"', "platform.unknown", "There is no platform named 'grand'"),
        ('method = "exec"', "method = exec", "submission.syntax", "is no TOML"),
        ('path = "images/ultrasound"', 'path = "../etc"', "submission.key", "is no path below /input"),
        ('slug = "age"', 'slug = "ultrasound"', "submission.key", ""),
        ("[image]", '[image]\ndigest = "abc"', "submission.key", "image.digest"),
    ],
)
def test_mistakes_in_the_file_are_told_by_key(write_submission, old, new, code, words):
    file = write_submission("bad", change=(old, new))
    if code == "submission.key" and not words:
        assert read_submission(file).interfaces[1].key == ("ultrasound", "ultrasound")
        return
    with pytest.raises(MedbenchError) as caught:
        read_submission(file)
    assert caught.value.code == code
    assert words in caught.value.message
    assert str(file) in caught.value.message


def test_two_interfaces_with_the_same_inputs_are_refused(write_submission):
    text = write_submission("same").read_text()
    block = text[
        text.index("[[interfaces]]") : text.index("[[interfaces]]", text.index("[[interfaces]]") + 1)
    ]
    with pytest.raises(MedbenchError, match="two interfaces have the same inputs"):
        parse_submission(tomllib.loads(text + block), "test")


def test_weights_apart_are_refused_where_a_platform_mounts_none(tmp_path):
    text = submission_text("brats2025_gli", "monai/unet").replace('"baked"  ', '"mounted"')
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(MedbenchError, match="mounts no weights"):
        build_context(BuildRequest(path, output=tmp_path))


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    path = write_submission("iugc2024", "dssau_net", "grand-challenge", None, tmp_path)
    assert path == tmp_path / "iugc2024" / "dssau-net-iugc2024.toml"
    assert read_submission(path).options == {}
    with pytest.raises(MedbenchError) as caught:
        write_submission("iugc2024", "dssau_net", "grand-challenge", None, tmp_path)
    assert caught.value.code == "submission.exists"


def test_a_submission_takes_the_options_that_the_network_was_trained_with(tmp_path):
    options = {"encoder": "resnet18", "decoder_channels": [64, 32, 16, 8, 4]}
    path = write_submission("psfhs", "smp/unet", None, "entry", tmp_path, options=options)
    assert read_submission(path).options == options
    with pytest.raises(MedbenchError) as caught:
        write_submission("psfhs", "smp/unet", None, "other", tmp_path, options={"encodr": "resnet18"})
    assert caught.value.code == "model.option"
    assert [file.name for file in tmp_path.rglob("*.toml")] == ["entry.toml"]
