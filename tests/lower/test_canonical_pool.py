import numpy as np
import pytest

from edgekd.lower.canonical_pool import CanonicalPoolPass

RNG = np.random.default_rng(0)
MARK = 'edgekd.FakeQuant<qmin=0, qmax=255, axis=-1, mark="m">'


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("behind", ["y = Identity(p)", "n = Neg(p) a = Abs(p) y = Add(n, a)"])
def test_a_mean_over_the_image_becomes_a_global_pool(graph, evaluate, op_types, axes, keepdims, behind):
    body = f"p = ReduceMean<keepdims={keepdims}>(x, axes) {behind}"
    model = graph("float[2,3,4,5] x", "float y", body, axes=np.int64(axes))
    x = RNG.normal(0, 1, (2, 3, 4, 5)).astype(np.float32)
    before = evaluate(model, x=x)["y"]
    assert CanonicalPoolPass()(model).modified
    assert op_types(model)[: 2 - keepdims] == ["GlobalAveragePool", "Reshape"][: 2 - keepdims]
    after = evaluate(model, x=x)["y"]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_mean_over_a_signal_becomes_a_global_pool(graph, evaluate, op_types):
    model = graph("float[2,3,4] x", "float y", "y = ReduceMean<keepdims=0>(x, axes)", axes=np.int64([2]))
    x = RNG.normal(0, 1, (2, 3, 4)).astype(np.float32)
    before = evaluate(model, x=x)["y"]
    CanonicalPoolPass()(model)
    assert op_types(model) == ["GlobalAveragePool", "Reshape"]
    np.testing.assert_allclose(evaluate(model, x=x)["y"], before, atol=1e-6)


def test_dimensions_are_dropped_behind_the_quantizer(graph, op_types):
    """Between pool and quantizer a Reshape would keep the pool in float."""
    body = f"p = ReduceMean<keepdims=0>(x, axes) q = {MARK}(p, s) y = Neg(q)"
    model = graph("float[2,3,4,5] x", "float y", body, axes=np.int64([2, 3]), s=np.float32(0.1))
    assert CanonicalPoolPass()(model).modified
    assert op_types(model) == ["GlobalAveragePool", "FakeQuant", "Reshape", "Neg"]


@pytest.mark.parametrize(
    ("shape", "axes"), [("2,3,4,5", [1]), ("2,3,4,5", [3]), ("2,3,4", [1]), ("2,3", [1])]
)
def test_other_means_stay(graph, shape, axes):
    model = graph(f"float[{shape}] x", "float y", "y = ReduceMean(x, axes)", axes=np.int64(axes))
    assert not CanonicalPoolPass()(model).modified
