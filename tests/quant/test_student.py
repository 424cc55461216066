import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from edgekd.core.profile import PROFILES
from edgekd.data.digits import DigitsSpec
from edgekd.data.manifest import write_manifest
from edgekd.quant.calibrate import CALIBRATION_METHODS
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.prepare import prepare
from edgekd.quant.student import WEIGHTS, CalibrationSpec, QuantizeSpec, save_student

LSQ = {"weights": LsqSpec(), "activations": LsqSpec()}


def test_quantize_spec_hands_every_field_to_the_scheme():
    spec = QuantizeSpec(
        profile="portable",
        weights=LsqSpec(bits=3),
        activations=LsqSpec(bits=4),
        first_layer_bits=5,
        last_layer_bits=6,
        residual_bits=7,
    )
    expected = {
        "weights": LsqSpec(bits=3),
        "activations": LsqSpec(bits=4),
        "first_layer_bits": 5,
        "last_layer_bits": 6,
        "residual_bits": 7,
    }
    assert {
        item.name: getattr(spec.scheme, item.name) for item in dataclasses.fields(spec.scheme)
    } == expected


def test_digest_moves_with_the_version_of_the_profile(monkeypatch):
    spec = QuantizeSpec(**LSQ)
    before = spec.digest
    monkeypatch.setitem(PROFILES, "ort", dataclasses.replace(PROFILES["ort"], version=99))
    assert spec.digest != before


def test_digest_moves_with_the_contents_of_the_manifest(tmp_path):
    manifest = tmp_path / "samples.json"
    spec = CalibrationSpec(manifest=str(manifest))
    write_manifest(manifest, DigitsSpec(), samples=10, seed=0)
    before = spec.digest
    write_manifest(manifest, DigitsSpec(), samples=10, seed=1)
    assert spec.digest != before


def test_manifest_is_relative_to_the_pipeline_file(tmp_path):
    spec = CalibrationSpec.model_validate({"manifest": "c/samples.json"}, context={"folder": tmp_path})
    assert spec.manifest == str(tmp_path / "c" / "samples.json")


def test_calibration_images_are_training_images_drawn_once():
    data = DigitsSpec()
    images = CalibrationSpec(samples=32).images(data)
    assert images.shape[0] == 32
    assert np.array_equal(images, CalibrationSpec(samples=32).images(data))
    train = {image.tobytes() for image in data.split("train").images}
    assert {image.tobytes() for image in images} <= train


def test_calibration_tries_every_method_by_default():
    assert CalibrationSpec().methods == CALIBRATION_METHODS
    with pytest.raises(ValidationError):
        CalibrationSpec(methods=())


def test_saved_student_loads_bit_by_bit(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    student = prepare(network, torch.randn(2, 3, 8, 8))
    save_student(tmp_path, student)
    stored = load_file(tmp_path / WEIGHTS)
    assert set(stored) == set(student.state_dict())
    assert all(torch.equal(stored[name], value) for name, value in student.state_dict().items())
