"""``-m docker:IMAGE@sha256:…`` for real: an image of one's own, and images of our platforms' adapters."""

import sysconfig

import pytest

from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.models.local.names import local_model
from medbench.models.local.program_module import Program
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers import engines
from medbench.submissions.rehearse import image_predictor

PROGRAM = """
import glob, os, socket, struct, sys, zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


try:
    open("/input/x", "w")
except OSError:
    pass
else:
    sys.exit("the input can be written")
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError:
    pass
else:
    sys.exit("there is a network")
for path in glob.glob("/input/*.png"):
    width, height = struct.unpack(">II", open(path, "rb").read(24)[16:])
    rows = b"".join(b"\\0" + bytes(x < width // 2 for x in range(width)) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head)
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    open(os.path.join("/output", os.path.basename(path)), "wb").write(data)
"""
SUBMISSION = """
name = "polyps"
challenge = "cvc_clinicdb"
model = "mslau_net.test"
platform = "grand-challenge"
[weights]
file = "w.pt"
[inference]
image_size = 64
[image]
packages = "base"
"""
SOCKETS = """
[[interfaces]]
[[interfaces.inputs]]
slug = "frame"
path = "images/frame"
[[interfaces.outputs]]
slug = "polyps"
path = "images/polyps"
"""


def named_by_digest(engine, tag):
    """The image's name with its digest, as ``-m docker:`` takes it."""
    digest = engine.call("image", "inspect", "--format", "{{.Digest}}", tag, what="look").strip()
    return f"docker:{tag.rpartition(':')[0]}@{digest}"


def predicted(model, data, place, **keywords):
    finished = run(
        model,
        "cvc_clinicdb",
        data=data,
        cases="1*",
        runs=place / "runs",
        leaderboards=place / "b",
        **keywords,
    )
    assert finished.record.counts.failed == 0, [row.reason for row in finished.rows]
    return {path.name: path.read_bytes() for path in finished.folder.glob("predictions/**/*.png")}


@pytest.mark.container
@pytest.mark.exhaustive
def test_an_image_of_ones_own_answers_without_network_and_with_a_read_only_input(engine, small_cvc, tmp_path):
    import sys

    base = f"docker.io/library/python:{sys.version.split()[0]}-slim-bookworm"
    (tmp_path / "image").mkdir()
    (tmp_path / "image/predict.py").write_text(PROGRAM)
    (tmp_path / "image/Dockerfile").write_text(
        f'FROM {base}\nCOPY predict.py /predict.py\nENTRYPOINT ["python", "/predict.py"]\n'
    )
    tag = "localhost/medbench/halves:1"
    engine.build(tmp_path / "image", tag)
    try:
        files = predicted(named_by_digest(engine, tag), small_cvc, tmp_path)
        assert files
        (tmp_path / "one.png").write_bytes(next(iter(files.values())))
        mask = raster.read_label_map(tmp_path / "one.png") > 0
        assert mask[:, :48].all()
        assert not mask[:, 48:].any()
    finally:
        engines.remove_image(engine, tag)


@pytest.mark.container
@pytest.mark.slow
@pytest.mark.exhaustive
def test_an_image_of_our_adapters_answers_as_its_network(
    engine, small_cvc, save_weights, one_thread, tmp_path, monkeypatch
):
    packages = sysconfig.get_path("purelib")
    options = ("--volume", f"{packages}:/packages:ro", "--env", "PYTHONPATH=/packages")
    monkeypatch.setattr(image_predictor, "RUN_OPTIONS", options)
    save_weights(tmp_path / "w.pt", "mslau_net.test", in_channels=3, num_classes=2)
    (tmp_path / "own.toml").write_text(SUBMISSION + SOCKETS)
    built = build_context(BuildRequest(tmp_path / "own.toml", data=small_cvc, output=tmp_path / "build"))
    engine.build(built.context, built.tag)
    try:
        model = named_by_digest(engine, built.tag)
        ours = predicted(
            "mslau_net.test", small_cvc, tmp_path, weights=tmp_path / "w.pt",
            inference=Inference(image_size=64),
        )  # fmt: skip
        theirs = predicted(model, small_cvc, tmp_path)
        assert theirs == ours
        with pytest.raises(MedbenchError, match=r"was built for .* with 2 labels, and 3 are demanded"):
            image_predictor.ImagePredictor(Program(local_model(model), 3), engine, built.submission)
    finally:
        engines.remove_image(engine, built.tag)


@pytest.mark.container
def test_an_image_that_is_not_here_is_named_and_not_pulled(engine, small_cvc, tmp_path):
    name = "docker:localhost/medbench/nobody@sha256:" + "0" * 64
    with pytest.raises(MedbenchError, match="medbench pulls none"):
        run(name, "cvc_clinicdb", data=small_cvc, runs=tmp_path / "runs", leaderboards=tmp_path / "b")
