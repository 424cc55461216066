from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgekd.distill.distill_student import random_student
from edgekd.quant.calibrate import unquantized
from edgekd.quant.quantizer import Quantizer
from edgekd.search.given_student import given_student
from edgekd.spec import load_pipeline
from edgekd.zoo.student import StudentArch

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"


@pytest.mark.parametrize("network", ["resnet_cifar", "mobilenet_v2"])
def test_grids_of_a_random_student_are_of_the_size_that_training_sees(network: str, tmp_path: Path) -> None:
    """With BatchNorm's first statistics, mean 0 and variance 1, they would shrink layer by layer."""
    spec = load_pipeline(TINY, (f"student.network={network}", "quantize.calibration.methods=[minmax]"))
    given_student.function(tmp_path, spec.student)
    arch = StudentArch(folder=tmp_path, key="", digest="")
    student = random_student(spec.student, arch, spec.quantize, spec.data, spec.training, seed=0)
    found: dict[str, float] = {}

    def see(quantizer: Quantizer, x: Tensor) -> None:
        if quantizer.axis is None:
            widest = max(float(x.max()) / quantizer.grid.qmax, float(x.min()) / (quantizer.grid.qmin or -1))
            found[quantizer.mark] = widest / float(quantizer.scale_for(x).detach())

    images = torch.tensor(spec.data.split("train").images[:256])
    with torch.no_grad(), unquantized(student.train(), see):
        student(images)
    assert len(found) > 5
    assert {mark: ratio for mark, ratio in found.items() if not 0.3 < ratio < 3} == {}
