"""What every target promises; a new member of the union is tested the moment it is listed."""

from pathlib import Path
from typing import Annotated, get_args, get_origin

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgekd.core.profile import PROFILES
from edgekd.errors import BuildError, SpecError
from edgekd.lower.float_reference import activation_marks
from edgekd.spec import KINDS, load_pipeline

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"
UNION = KINDS["target"]
TARGETS = get_args(get_args(UNION)[0]) if get_origin(UNION) is Annotated else (UNION,)

pytestmark = pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: target.model_fields["kind"].default
)


@pytest.fixture(scope="module")
def marked(export_integer):
    """Return a function that gives the marked graph of a small network, trained for a profile."""
    made = {}

    def of(profile):
        if profile not in made:
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv2d(3, 4, 3),
                nn.BatchNorm2d(4),
                nn.ReLU6(),
                nn.Conv2d(4, 4, 1),
                nn.Flatten(),
                nn.Linear(144, 3),
            )
            made[profile] = export_integer(network, torch.randn(4, 3, 8, 8), profile)
        return made[profile].marked

    return of


def test_lower_expresses_every_profile_that_the_target_claims(target, marked, tmp_path):
    assert target().profiles
    for profile in target().profiles:
        model = target().lower(ir.load(marked(profile)), metadata={"profile": profile})
        path = tmp_path / f"{profile}.onnx"
        ir.save(model, path)
        onnx.checker.check_model(path, full_check=True)
        assert {item.key: item.value for item in onnx.load(path).metadata_props} == {"profile": profile}
        target().build(path, tmp_path / f"{profile}.engine")
        assert (tmp_path / f"{profile}.engine").stat().st_size > 0


@pytest.fixture
def engine(target, marked, tmp_path):
    """Return the marked graph of a small network and the engine that the target builds from it."""
    path = marked(target().profiles[0])
    ir.save(target().lower(ir.load(path), metadata={}), tmp_path / "model.onnx")
    target().build(tmp_path / "model.onnx", tmp_path / "engine")
    return path, tmp_path / "engine"


def test_open_runs_what_was_built_until_it_is_closed(target, engine):
    _, path = engine
    x = np.random.default_rng(0).standard_normal((5, 3, 8, 8), np.float32)
    with target().open(path) as session:
        (wanted,), (given,) = session.inputs, session.outputs
        assert (wanted.dtype, wanted.shape, given.shape[1:]) == (np.float32, (None, 3, 8, 8), (3,))
        (y,) = session.run({wanted.name: x}).values()
        assert y.shape == (5, 3)
        assert np.array_equal(session.predict(x), y)
    with pytest.raises(ValueError, match="closed"):
        session.run({wanted.name: x})


def test_look_inside_finds_every_quantizer_and_what_runs_in_float(target, engine):
    marked_path, path = engine
    with target().open(path) as session:
        name = session.inputs[0].name
    x = np.random.default_rng(0).standard_normal((5, 3, 8, 8), np.float32)
    inside = target().look_inside(path, {name: x}, marked=marked_path)
    assert set(inside.codes) == {mark.name for mark in activation_marks(ir.load(marked_path))}
    assert inside.coverage.integer_ops >= 3
    assert inside.coverage.fallbacks == ()


def test_lower_gives_the_same_bytes_every_time(target, marked):
    profile = target().profiles[0]
    once, again = (
        ir.to_proto(target().lower(ir.load(marked(profile)), metadata={})).SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    )
    assert once == again


def test_profiles_that_the_target_cannot_run_are_refused_before_training(target):
    kind = target.model_fields["kind"].default
    for profile in set(PROFILES) - set(target().profiles):
        with pytest.raises(SpecError, match=f"cannot run quantize.profile '{profile}'"):
            load_pipeline(TINY, (f"targets=[{{kind: {kind}}}]", f"quantize.profile={profile}"))


def test_build_refuses_what_is_no_model(target, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BuildError):
        target().build(tmp_path / "model.onnx", tmp_path / "engine")


def test_runtime_version_says_what_is_installed(target):
    assert target().runtime_version()[0].isdigit()
