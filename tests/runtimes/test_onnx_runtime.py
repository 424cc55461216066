from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekd.errors import BuildError
from edgekd.runtimes.here import HERE, Here
from edgekd.runtimes.onnx_runtime import open_session, optimized_graph, run_all, tap, tap_everything
from edgekd.runtimes.session import TensorInfo

X = np.float32([[1, -2], [3, -4]])


@pytest.fixture
def chain(onnx_model):
    """Return a model that ONNX Runtime fuses: a product, a sum and a ReLU."""
    constants = {"w": np.float32([[1, 2], [3, 4]]), "b": np.float32([1, -30])}
    body = "m = MatMul(x, w) a = Add(m, b) y = Relu(a)"
    return onnx_model("float[N,2] x", "float[N,2] y", body, constants)


def op_types(model):
    return [node.op_type for node in model.graph.node]


def test_open_session_takes_bytes_and_files(chain, tmp_path):
    onnx.save(chain, tmp_path / "m.onnx")
    for model in (tmp_path / "m.onnx", chain.SerializeToString()):
        assert run_all(open_session(model), {"x": X})["y"].tolist() == [[0, 0], [0, 0]]


def test_open_session_says_which_file_the_runtime_refuses(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BuildError, match=r"ONNX Runtime .* refuses the model: ") as error:
        open_session(path)
    assert error.value.where == str(path)
    with pytest.raises(BuildError) as error:
        open_session(b"not a model")
    assert error.value.where == ""


def test_open_session_keeps_the_words_of_the_runtime(onnx_model):
    model = onnx_model("float[2] x", "float[2] y", "y = Relu(x)", {})
    model.graph.node[0].op_type = "Reluctant"
    with pytest.raises(BuildError, match="Reluctant"):
        open_session(model.SerializeToString())


def test_optimized_graph_is_what_runs(chain):
    assert op_types(chain) == ["MatMul", "Add", "Relu"]
    assert len(op_types(optimized_graph(chain.SerializeToString()))) < 3


def test_open_session_runs_the_nodes_as_they_stand_without_optimization(chain, tmp_path):
    path = tmp_path / "as_it_stands.onnx"
    open_session(chain.SerializeToString(), optimize=False, optimized_path=path)
    assert op_types(onnx.load(path)) == ["MatMul", "Add", "Relu"]


def test_tap_adds_outputs_once_and_leaves_the_model_alone(chain):
    values = run_all(open_session(tap(chain, ["m", "a", "y"]), optimize=False), {"x": X})
    assert list(values) == ["y", "m", "a"]
    assert values["m"].tolist() == [[-5, -6], [-9, -10]]
    assert [output.name for output in chain.graph.output] == ["y"]


def test_tap_everything_returns_every_tensor(chain):
    values = tap_everything(chain, {"x": X})
    assert set(values) == {"m", "a", "y"}
    assert values["a"].tolist() == [[-4, -36], [-8, -40]]


@pytest.mark.parametrize("batch", ["N", "4", "1"])
def test_predict_gives_one_row_per_input(onnx_model, batch):
    model = onnx_model(f"float[{batch},2] x", f"float[{batch},2] y", "y = Neg(x)", {})
    x = np.random.default_rng(0).normal(0, 1, (70, 2)).astype(np.float32)
    with HERE.open(model.SerializeToString(), threads=1) as session:
        assert np.array_equal(session.predict(x), -x)


def test_session_says_what_it_takes_and_gives(onnx_model):
    model = onnx_model("uint8[N,3] x", "float[N,3] y", "y = Cast<to=1>(x)", {})
    session = HERE.open(model.SerializeToString(), threads=1)
    assert session.inputs == [TensorInfo("x", np.dtype(np.uint8), (None, 3))]
    assert session.outputs == [TensorInfo("y", np.dtype(np.float32), (None, 3))]
    assert session.fixed_batch is None


class _Untrue(Here):
    """A board that gives back a graph whose weights are a file of whoever opens it."""

    def shown(self, model: Path | bytes, *, runtime: str = "onnxruntime", threads: int = 1) -> bytes:
        weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.UINT8, dims=[4])
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="id_ed25519")
        return helper.make_model(helper.make_graph([], "g", [], [], [weights])).SerializeToString()


def test_a_board_cannot_have_this_machine_read_its_files() -> None:
    with pytest.raises(BuildError, match="reads files: id_ed25519"):
        optimized_graph(b"", host=_Untrue())


@pytest.mark.parametrize("body", ["y = ReduceSum<keepdims=0>(x)", "y = Slice(x, zero, one, zero)"])
def test_predict_refuses_an_output_without_a_row_for_each_image(onnx_model, body):
    constants = {"zero": np.int64([0]), "one": np.int64([1])} if "Slice" in body else {}
    model = onnx_model("float[n,2] x", "float y" if "Sum" in body else "float[m,2] y", body, constants)
    session = HERE.open(model.SerializeToString(), threads=1)
    with pytest.raises(BuildError, match=r"output 'y' has an array of shape .* for 3 images"):
        session.predict(np.ones((3, 2), np.float32))
