"""Run as a script: what an engine computes on this CPU, as JSON.

python fingerprint_engine.py MODEL.onnx INPUTS.npy
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgekd.board.sessions import saturates_byte_products
from edgekd.runtimes.onnx_runtime import (
    open_session,
    optimized_graph,
    run_all,
    tap,
    tap_everything,
)
from edgekd.verify.oracle import check_against_oracle


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def fingerprint(path, inputs):
    """Return digests of all outputs and codes, the oracle's verdict, and digests without edgekd's options."""
    model = onnx.load(path)
    feeds = {model.graph.input[0].name: inputs}
    codes = [name for node in model.graph.node for name in node.output if name.endswith(".q")]
    tapped = tap(model, codes)
    optimized = optimized_graph(path)
    oracle = check_against_oracle(optimized, {**tap_everything(optimized, feeds), **feeds})
    plain = onnxruntime.InferenceSession(tapped, providers=["CPUExecutionProvider"])
    return {
        "saturates": saturates_byte_products(),
        "outputs": {name: sha256(value) for name, value in run_all(open_session(path), feeds).items()},
        "codes": {name: sha256(value) for name, value in run_all(open_session(tapped), feeds).items()},
        "plain": {name: sha256(value) for name, value in run_all(plain, feeds).items()},
        "oracle": [oracle.nodes, oracle.mismatches, oracle.first_mismatch],
    }


if __name__ == "__main__":
    json.dump(fingerprint(Path(sys.argv[1]), np.load(sys.argv[2])), sys.stdout)
