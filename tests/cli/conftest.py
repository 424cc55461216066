import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.cli.main import main

Cli = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Cli]:
    """Run ``edgekd`` within this process, on a store of its own."""
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["edgekd", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Done(int(stop.value.code or 0), captured.out, captured.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def float_model(tmp_path: Path) -> Path:
    """One float matrix product: ``x`` (n, 4) to ``y`` (n, 3)."""
    path = tmp_path / "float.onnx"
    _save(path, "MatMul", np.eye(4, 3, dtype=np.float32), x_type=onnx.TensorProto.FLOAT, x_shape=["n", 4])
    return path


@pytest.fixture
def pixel_model(tmp_path: Path) -> Path:
    """Integer Q/DQ model: uint8 pixels (n, 8, 8, 1) to 10 logits."""
    path = tmp_path / "pixels.onnx"
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (uint8[n,8,8,1] image) => (float[n,10] logits) {
        scale = Constant <value: tensor = float {0.01}> ()
        zero = Constant <value: tensor = uint8 {0}> ()
        signed_zero = Constant <value: tensor = int8 {0}> ()
        middle = Constant <value: tensor = uint8 {128}> ()
        flat = Flatten (image)
        x = DequantizeLinear (flat, scale, zero)
        w = DequantizeLinear (codes, scale, signed_zero)
        y = MatMul (x, w)
        q = QuantizeLinear (y, scale, middle)
        logits = DequantizeLinear (q, scale, middle)
    }"""
    model = onnx.parser.parse_model(text)
    codes = np.random.default_rng(0).integers(-9, 10, (64, 10), dtype=np.int8)
    model.graph.initializer.append(onnx.numpy_helper.from_array(codes, "codes"))
    onnx.save(model, path)
    return path


def _save(path: Path, op_type: str, weight: np.ndarray, *, x_type: int, x_shape: list[str | int]) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op_type, ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", x_type, x_shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)
