import numpy as np
import onnx_ir as ir
import pytest

from edgekd.lower.graph import MARK_DOMAIN
from edgekd.runtimes.onnx_runtime import open_session, run_all


@pytest.fixture
def graph(onnx_model):
    """Return a function that builds an ``onnx_ir`` model from ONNX text and its constants."""

    def build(inputs, outputs, body, **constants):
        return ir.from_proto(onnx_model(inputs, outputs, body, constants, domain=MARK_DOMAIN))

    return build


@pytest.fixture
def evaluate():
    """Return a function that runs a model without marks exactly as it is written."""

    def run(model, **feeds):
        model.opset_imports.pop(MARK_DOMAIN, None)
        model.graph.opset_imports.pop(MARK_DOMAIN, None)
        session = open_session(ir.to_proto(model).SerializeToString(), optimize=False)
        return run_all(session, {name: np.asarray(value) for name, value in feeds.items()})

    return run


@pytest.fixture
def op_types():
    """Return a function that lists a model's operator types in order."""
    return lambda model: [node.op_type for node in model.graph]
