"""Run as a script: what ONNX Runtime makes of the models of a folder, as JSON.

python run_models.py FOLDER; it holds N.onnx with one input and N.npy, the input.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def run(model: Path) -> dict[str, object]:
    """Return the operators that run, and a digest of the first output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(model.with_suffix(".optimized"))
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    result = session.run(None, {given.name: np.load(model.with_suffix(".npy"))})[0]
    ops = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    return {"ops": ops, "result": hashlib.sha256(result.tobytes()).hexdigest()}


if __name__ == "__main__":
    found = {model.stem: run(model) for model in sorted(Path(sys.argv[1]).glob("*.onnx"))}
    json.dump({"version": onnxruntime.__version__, **found}, sys.stdout)
