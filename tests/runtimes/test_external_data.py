import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.errors import BuildError
from edgekd.runtimes.external_data import external_data
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph


@pytest.fixture
def model(tmp_path: Path, onnx_model) -> Path:
    """A product with its weights in ``weights.bin``, in a folder of its own."""
    folder = tmp_path / "inside"
    folder.mkdir()
    made = onnx_model(
        "float[2,64] x", "float[2,64] y", "y = MatMul(x, w)", {"w": np.eye(64, dtype=np.float32)}
    )
    onnx.save(made, folder / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return folder / "m.onnx"


def _move(model: Path, location: str) -> Path:
    moved = onnx.load(model, load_external_data=False)
    for tensor in moved.graph.initializer:
        for item in tensor.external_data:
            if item.key == "location":
                item.value = location
    model.write_bytes(moved.SerializeToString())
    return model


def test_weights_beside_the_model_are_read(model: Path) -> None:
    assert external_data(model)
    x = np.arange(128, dtype=np.float32).reshape(2, 64)
    np.testing.assert_array_equal(open_session(model).run(None, {"x": x})[0], x)
    assert [node.op_type for node in optimized_graph(model).graph.node] == ["MatMul"]


def test_a_file_without_external_data_has_none(residual, tmp_path: Path) -> None:
    assert not external_data(residual.model)
    (tmp_path / "text.onnx").write_text("no model")
    assert not external_data(tmp_path / "text.onnx")


@pytest.mark.parametrize(
    "location", ["../secret.bin", "{tmp}/secret.bin", "link.bin", "sub/../../secret.bin"]
)
def test_files_outside_of_the_folder_are_refused(model: Path, tmp_path: Path, location: str) -> None:
    shutil.copyfile(model.parent / "weights.bin", tmp_path / "secret.bin")
    (model.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    (model.parent / "sub").mkdir()
    with pytest.raises(BuildError, match="outside of its own folder"):
        open_session(_move(model, location.format(tmp=tmp_path)))


def test_missing_file_is_named(model: Path) -> None:
    with pytest.raises(BuildError, match=r"gone\.bin', which is missing"):
        open_session(_move(model, "gone.bin"))


def test_tensors_of_attributes_and_branches_count(model: Path) -> None:
    plain = onnx.load(model, load_external_data=False)
    (weights,) = plain.graph.initializer
    hidden = onnx.TensorProto()
    hidden.CopyFrom(weights)
    del plain.graph.initializer[:]
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["w"], value=hidden)], "b", [], [])
    plain.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    model.write_bytes(plain.SerializeToString())
    assert external_data(model)
    (model.parent / "weights.bin").unlink()
    with pytest.raises(BuildError, match="missing"):
        external_data(model)
