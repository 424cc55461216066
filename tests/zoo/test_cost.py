import pytest
from torch import nn

from edgekd.zoo.cost import count_macs, count_params


def test_count_macs_adds_convolutions_and_linear_layers():
    """4x4 image: 16 * (4 * 2 * 9) = 1152; stride 2, depthwise: 4 * (4 * 9) = 144; 16 inputs * 5 = 80."""
    body = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.Flatten(),
        nn.Linear(16, 5),
    )
    assert count_macs(body, channels=2, height=4, width=4) == 1152 + 144 + 80


def test_count_macs_leaves_the_network_alone():
    body = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    body[1].eval()
    before = {name: value.clone() for name, value in body.state_dict().items()}
    count_macs(body, channels=1, height=2, width=2)
    assert [module.training for module in body] == [True, False]
    assert not body[0]._forward_hooks
    assert all(value.equal(before[name]) for name, value in body.state_dict().items())


@pytest.mark.parametrize(("bias", "params"), [(True, 2 * 3 + 2 + 4), (False, 2 * 3 + 4)])
def test_count_params_leaves_buffers_out(bias, params):
    assert count_params(nn.Sequential(nn.Linear(3, 2, bias=bias), nn.BatchNorm1d(2))) == params
