"""Run and measure a small model under another Python, such as a board's, with numpy and some onnxruntime."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from edgekd.board.rounds import Design
from edgekd.board.sessions import probe
from edgekd.device.local import local_runner
from edgekd.device.runner import RunnerConnection
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel


def main(python: str) -> None:
    """Print what the runner says; whatever goes wrong is an exception."""
    design = Design(sessions=2, rounds=2, round_ms=1, warmup_ms=1)
    feeds = {"x": np.zeros((1, 16), np.uint8)}
    with tempfile.TemporaryDirectory() as folder, local_runner([python], device=python) as channel:
        board = RunnerConnection(channel)
        model = Path(folder) / "model.onnx"
        model.write_bytes(probe())
        built = {"model": BuiltModel(OnnxRuntimeTarget(), model, board.host)}
        with built["model"].open() as session:
            outputs = session.run(feeds)
        found = board.measure(built, {"model": feeds}, seed=0, design=design)
    print(board.machine.python, board.machine.runtime_versions, found.samples["model"].p50_ms, outputs)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
