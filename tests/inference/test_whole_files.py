"""What a network's file holds is what is computed: flipped bits, weights in other files, a start with NaN."""

import io
import zipfile

import numpy as np
import pytest
import torch

from medbench.core.errors import MedbenchError
from medbench.models.local.exported import load_exported, read_facts
from medbench.models.starting_weights import load_parameters, read_parameters
from medbench.nnunet.files import load_safely


def refused(code, call):
    with pytest.raises(MedbenchError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def flipped(path, part):
    """Change a bit of the values of an archive's part, whose name ends so, and leave its checksum."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = max(
            (one for one in archive.infolist() if part in one.filename), key=lambda one: one.file_size
        )
    values = zipfile.ZipFile(io.BytesIO(content)).read(member.filename)
    content[content.index(values) + len(values) // 2] ^= 64
    path.write_bytes(content)


class Net(torch.nn.Module):
    """One layer."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 8, 3)

    def forward(self, images):
        """Logits."""
        return self.layer(images)


@pytest.mark.parametrize("form", ["torchscript", "pt2"])
def test_a_flipped_bit_of_an_exported_network_is_noticed(tmp_path, form):
    path = tmp_path / ("net.pt" if form == "torchscript" else "net.pt2")
    example = torch.zeros(1, 3, 8, 8)
    if form == "torchscript":
        torch.jit.trace(Net().eval(), example).save(str(path))
    else:
        torch.export.save(torch.export.export(Net().eval(), (example,)), path)
    load_exported(path)
    flipped(path, "data/" if form == "torchscript" else "weight")
    for read in (load_exported, read_facts):
        assert path.name in refused("weights.corrupt", lambda read=read: read(path))


def test_a_flipped_bit_of_a_checkpoint_of_nnunet_is_noticed(tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    weights = {f"layer{number}.weight": torch.ones(64, 64) for number in range(3)}
    torch.save({"network_weights": weights, "trainer_name": "nnUNetTrainer", "init_args": {}}, path)
    assert load_safely(path)["network_weights"]["layer0.weight"].shape == (64, 64)
    flipped(path, "data/")
    assert path.name in refused("weights.corrupt", lambda: load_safely(path))


def test_weights_of_an_onnx_network_lie_in_its_own_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = onnx.numpy_helper.from_array(np.full((2, 3, 1, 1), 0.5, np.float32), "w")
    sizes = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", count, "H", "W"])
             for name, count in (("x", 3), ("y", 2))]  # fmt: skip
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", sizes[:1], sizes[1:], [weights])
    version = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=version, ir_version=8)
    onnx.save(model, tmp_path / "whole.onnx")
    assert read_facts(tmp_path / "whole.onnx").channels == 3
    assert load_exported(tmp_path / "whole.onnx")(torch.ones(1, 3, 4, 4)).flatten()[0] == 1.5
    path = tmp_path / "parts.onnx"
    onnx.save(model, path, save_as_external_data=True, location="parts.data", size_threshold=0)
    for read in (read_facts, load_exported):
        assert "another file" in refused("model.file", lambda read=read: read(path))


def test_a_pointer_of_git_lfs_is_no_checkpoint(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    assert "a pointer of Git LFS" in refused("weights.corrupt", lambda: read_parameters(path, "init"))


def test_a_start_that_is_not_finite_is_refused_by_name(tmp_path):
    path = tmp_path / "encoder.pth"
    torch.save({"conv.weight": torch.tensor([1.0, float("nan")])}, path)
    assert "conv.weight" in refused("weights.not_finite", lambda: read_parameters(path, "encoder_weights"))


@pytest.mark.parametrize("beginning", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.encoder."])
def test_a_start_lies_below_whatever_was_put_around_it(tmp_path, beginning):
    source, network = Net(), Net()
    path = tmp_path / "encoder.pth"
    state = {f"{beginning}{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({**state, "loss.weight": torch.ones(2)}, path)
    load_parameters(network, read_parameters(path, "encoder_weights"), path, "")
    assert torch.equal(network.layer.weight, source.layer.weight)
    torch.save({**state, **{f"ema.{name}": tensor for name, tensor in state.items()}}, path)
    if beginning:
        with pytest.raises(MedbenchError, match="has 0 of the network's 2 parameters"):
            load_parameters(network, read_parameters(path, "encoder_weights"), path, "")
