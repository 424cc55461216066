import pytest
import torch

from edgekd.quant.bucketed import BucketedSpec


def quantize(w, bits):
    spec = BucketedSpec(bits=bits)
    return spec.build(spec.weight_grid, axis=0, mark="w", channels=len(w))(w)


def test_levels_run_from_minimum_to_maximum_of_the_bucket():
    """2 bits, beta = -1, alpha = 3: u = 0, 0.4, 0.8, 1; round(3 u) / 3 = 0, 1/3, 2/3, 1."""
    w = torch.tensor([[-1.0, 0.2], [1.4, 2.0]], requires_grad=True)
    y = quantize(w, 2)
    assert y.flatten().tolist() == pytest.approx([-1, 0, 1, 2])
    (y * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert w.grad.tolist() == [[1, 2], [3, 4]]


def test_buckets_are_256_consecutive_weights_whatever_the_channel():
    w = torch.cat([torch.linspace(0, 1, 256), torch.linspace(100, 101, 44)]).reshape(3, 100)
    y = quantize(w, 4)
    assert len(y.flatten()[:256].unique()) == len(y.flatten()[256:].unique()) == 16
    assert (y - w).abs().max() <= 1 / 30 + 1e-5


def test_a_bucket_of_equal_weights_keeps_them():
    assert torch.equal(quantize(torch.full((2, 3), 0.3), 4), torch.full((2, 3), 0.3))


@pytest.mark.parametrize(("bits", "factor"), [(2, 14.22), (3, 9.85), (4, 7.53), (8, 3.88)])
def test_size_is_the_papers(bits, factor):
    """32 k / (k b + 64) with k = 256."""
    shape = (64, 256)
    assert 32 * 64 * 256 / BucketedSpec(bits=bits).size_bits(shape) == pytest.approx(factor, abs=0.005)
