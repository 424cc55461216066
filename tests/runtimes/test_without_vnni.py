"""The same codes on a CPU without VNNI, whose 8-bit dot product clips its intermediate sums."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekd.zoo.pixels import ImageNetwork, PixelGrid

SCRIPT = Path(__file__).with_name("fingerprint_engine.py")


class LargeWeights(nn.Module):
    """Weights near the ends of their range, so that pairs of products pass 32767."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Conv2d(3, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 32, 1)
        self.linear = nn.Linear(32, 10)
        for layer in self.children():
            weight = layer.weight.data
            weight.uniform_(0.8, 1).mul_(torch.where(torch.rand_like(weight) < 0.5, -1.0, 1.0)[:, :1])

    def forward(self, x):
        x = F.relu(self.grouped(F.relu(self.dense(x))))
        x = F.relu(self.point(F.relu(self.depthwise(x)) + x))
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def engine(export_integer):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
    return export_integer(ImageNetwork(PixelGrid.like(), LargeWeights()), images)


def fingerprint(command, engine, folder):
    np.save(folder / "inputs.npy", engine.inputs)
    run = subprocess.run(
        [*command, SCRIPT, engine.model, folder / "inputs.npy"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


@pytest.mark.qemu
def test_engines_give_the_same_codes_without_vnni(qemu, engine, tmp_path):
    engine.assert_integer()
    here = fingerprint([sys.executable], engine, tmp_path)
    there = fingerprint(qemu, engine, tmp_path)
    assert there["saturates"] is True
    assert here["oracle"] == there["oracle"] == [7, 0, None]
    assert len(there["codes"]) == 7
    assert there["codes"] == here["codes"]
    assert there["outputs"] == here["outputs"]
    # and the option is what makes it so: without it the numbers are others
    assert there["plain"]["logits"] != there["codes"]["logits"]
    assert there["plain"]["grouped.q"] != there["codes"]["grouped.q"]
