"""Boards have older ONNX Runtimes: what they get, and that it is the same network."""

import functools
import os
import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekd.device.local import local_runner
from edgekd.device.runner import RunnerConnection, RunnerHost
from edgekd.errors import LowerError
from edgekd.lower.payload import layer_weights
from edgekd.runtimes.here import HERE
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget


@pytest.fixture(scope="module")
def exported(export_integer):
    """Return a function that exports a small network with weights of a kind."""
    import torch
    from torch import nn

    from edgekd.spec import Quantize
    from edgekd.zoo.pixels import ImageNetwork, PixelGrid

    @functools.cache
    def run(kind: str, bits: int):
        torch.manual_seed(0)
        body = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
        )
        images = torch.randint(0, 256, (8, 10, 10, 3), dtype=torch.uint8)
        network = ImageNetwork(PixelGrid.like(), body)
        return export_integer(network, images, scheme=Quantize(weights={"kind": kind, "bits": bits}).scheme)

    return run


@pytest.fixture
def ternary(exported):
    """The network with weights of two bits, which every file packs."""
    return exported("twn", 2)


def _lowered(exported, version: str) -> onnx.ModelProto:
    marked = ir.load(exported.marked)
    return ir.to_proto(OnnxRuntimeTarget().lower(marked, metadata={}, runtime_version=version))


def test_a_current_runtime_gets_packed_weights(ternary) -> None:
    for version in ("", "1.23.2", "1.32.0", "2.0"):
        model = _lowered(ternary, version)
        assert "BitShift" in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(("kind", "bits", "packed"), [("twn", 2, 2), ("lsq", 4, 8), ("codebook", 4, 8)])
def test_an_older_runtime_gets_no_codes_of_four_bits_and_the_same_results(
    exported, kind: str, bits: int, packed: int
) -> None:
    run = exported(kind, bits)
    older = _lowered(run, "1.18.1")
    assert layer_weights(ir.from_proto(older))[1].stored_bits == packed
    assert layer_weights(ir.load(run.model))[1].stored_bits == bits
    onnx.checker.check_model(older, full_check=True)
    with HERE.open(older.SerializeToString()) as session, HERE.open(run.model) as current:
        np.testing.assert_array_equal(session.predict(run.inputs), current.predict(run.inputs))


class OldRunner:
    """Answers one question only: which ONNX Runtime it has."""

    def ask(self, do, *_):
        assert do == "facts"
        return {"version": "1.17.3", "saturates": False}, {}


def test_a_runtime_that_is_too_old_is_refused(ternary) -> None:
    with pytest.raises(LowerError, match=r"1\.17\.3 is too old") as caught:
        _lowered(ternary, "1.17.3")
    assert "1.18" in caught.value.fix
    with pytest.raises(LowerError, match=r"1\.17\.3 is too old"):
        OnnxRuntimeTarget().runtime_version(host=RunnerHost(OldRunner(), times=True))


@pytest.mark.parametrize(("kind", "bits"), [("twn", 2), ("codebook", 2), ("lsq", 3), ("lsq", 4)])
def test_a_board_with_an_older_runtime_computes_the_same_bits(exported, kind: str, bits: int) -> None:
    folder = os.environ.get("EDGEKD_BOARD_ONNXRUNTIME")
    if folder is None:
        pytest.skip("EDGEKD_BOARD_ONNXRUNTIME names no folder with an onnxruntime before 1.23")
    command, run = ["env", f"PYTHONPATH={folder}", sys.executable], exported(kind, bits)
    with local_runner(command, device="old board") as channel:
        host = RunnerConnection(channel).host
        assert host.runtime_version() < "1.23"
        model = _lowered(run, host.runtime_version()).SerializeToString()
        with host.open(model) as session, HERE.open(run.model) as here:
            np.testing.assert_array_equal(session.predict(run.inputs), here.predict(run.inputs))
