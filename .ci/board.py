"""Run what a board runs, without torch: prove a small integer model through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx.parser

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (uint8[n,64] image) => (float[n,10] logits) {
    scale = Constant <value: tensor = float {0.01}> ()
    zero = Constant <value: tensor = uint8 {0}> ()
    signed_zero = Constant <value: tensor = int8 {0}> ()
    middle = Constant <value: tensor = uint8 {128}> ()
    x = DequantizeLinear (image, scale, zero)
    w = DequantizeLinear (codes, scale, signed_zero)
    y = MatMul (x, w)
    q = QuantizeLinear (y, scale, middle)
    logits = DequantizeLinear (q, scale, middle)
}"""


def main() -> int:
    """Return 0 if the model is integer and every value of it is right."""
    model = onnx.parser.parse_model(TEXT)
    codes = np.random.default_rng(0).integers(-9, 10, (64, 10), dtype=np.int8)
    model.graph.initializer.append(onnx.numpy_helper.from_array(codes, "codes"))
    onnx.save(model, "board.onnx")
    command = [str(Path(sys.executable).parent / "edgekd"), "verify", "board.onnx", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    print(sys.version.split()[0], seen["coverage"], seen["fidelity"]["oracle_values"])  # noqa: T201
    right = seen["fidelity"]["oracle_values"] > 0 and seen["fidelity"]["oracle_mismatches"] == 0
    return int(not right or seen["coverage"]["float_ops"] > 0)


if __name__ == "__main__":
    sys.exit(main())
