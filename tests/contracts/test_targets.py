"""What every target promises; a new member of the union is tested the moment it is listed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.core.profile import PROFILES
from edgekd.core.union import members_by_kind
from edgekd.errors import BuildError, LowerError, SpecError
from edgekd.export.export_marked import write_marked
from edgekd.lower.float_reference import activation_marks
from edgekd.lower.marked import MARKED
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.runtimes.layer_reference import compare_layers
from edgekd.runtimes.targets import runnable
from edgekd.spec import load_pipeline
from edgekd.unions import KINDS
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"
TARGETS = list(members_by_kind(KINDS["target"]).values())

pytestmark = pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: target.model_fields["kind"].default
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Network(nn.Module):
    """Raw pixels, padding, a ReLU6, a residual addition, a depthwise convolution, a global pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.left(x))
        return self.head(self.deep(x).mean((2, 3)))


@dataclass(frozen=True)
class Trained:
    """A small network for a profile: its marked graph, images, and what it says of them."""

    marked: Path
    images: NDArray[np.uint8]
    answers: NDArray[np.float32]


@pytest.fixture(scope="module")
def exported(with_statistics, tmp_path_factory):
    """Return a function that gives the network for a profile, exported."""
    made = {}

    def of(profile):
        if profile not in made:
            torch.manual_seed(0)
            images = torch.randint(0, 256, (16, 12, 12, 3), dtype=torch.uint8)
            network = with_statistics(ImageNetwork(PixelGrid.like((0.45,), (0.2,)), Network()))
            student = prepare(network, images[:2], profile)
            calibrate(student, [images], "minmax")
            folder = tmp_path_factory.mktemp("exported")
            write_marked(folder, student, images)
            made[profile] = Trained(folder / MARKED, images.numpy(), student(images).detach().numpy())
        return made[profile]

    return of


@pytest.fixture
def built(target, exported, tmp_path):
    """Return a function that gives the exported network, its lowered file, and what runs of it."""

    def of(profile=None, change=lambda model: None):
        run, path = exported(profile or target().profiles[0]), tmp_path / "model.onnx"
        ir.save(target().lower(ir.load(run.marked), metadata={}), path)
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)
        return run, path, runnable(target(), path, tmp_path / "engine")

    return of


def looked_into(model, feeds, marked):
    return model.target.look_inside(model.path, feeds, marked=marked, source=model.source, host=model.host)


def test_lower_expresses_every_profile_that_the_target_claims(target, exported, tmp_path):
    assert target().profiles
    for profile in target().profiles:
        model = target().lower(ir.load(exported(profile).marked), metadata={"profile": profile})
        path = tmp_path / f"{profile}.onnx"
        ir.save(model, path)
        onnx.checker.check_model(path, full_check=True)
        assert {item.key: item.value for item in onnx.load(path).metadata_props} == {"profile": profile}
        assert [found for found in target().lint(ir.load(path)) if found.severity != "risk"] == []


def test_it_computes_what_was_trained_as_near_as_it_says(target, built):
    for profile in target().profiles:
        run, _, model = built(profile)
        with model.open() as session:
            feeds = {session.inputs[0].name: run.images}
            answers = session.predict(run.images)
        student = run.answers
        inside = looked_into(model, feeds, run.marked)
        layers = compare_layers(run.marked, inside.codes, feeds, inside.tensors)
        if target.tolerance is None:
            assert [layer for layer in layers if layer.off_by_more] == []
        else:
            assert np.mean(answers.argmax(1) == student.argmax(1)) >= target.tolerance.agreement
            assert target.tolerance.reason
        assert np.abs(answers - student).max() <= 0.05 * np.abs(student).max()


def test_it_finds_every_quantizer_that_it_can_watch_and_no_float(target, built):
    for profile in target().profiles:
        run, _, model = built(profile)
        with model.open() as session:
            name = session.inputs[0].name
        inside = looked_into(model, {name: run.images}, run.marked)
        marks = {mark.name for mark in activation_marks(ir.load(run.marked))}
        assert inside.codes.keys() <= marks
        if target.tolerance is None:
            assert inside.codes.keys() == marks
        assert inside.codes
        assert inside.coverage.integer_ops >= 4
        assert inside.coverage.fallbacks == ()


def unquantized_input(model):
    """Let the last convolution but the stem read what its quantizer reads."""
    makers = {name: node for node in model.graph.node for name in node.output}
    conv = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    quantize = makers[makers[conv.input[0]].input[0]]
    while quantize.op_type != "QuantizeLinear":  # a clip of the codes
        quantize = makers[quantize.input[0]]
    conv.input[0] = quantize.input[0]


def test_it_tells_a_planted_float_island(target, built):
    run, _, model = built(change=unquantized_input)
    with model.open() as session:
        name = session.inputs[0].name
    inside = looked_into(model, {name: run.images}, None)
    assert any("Conv" in item.op for item in inside.coverage.fallbacks)
    assert all(item.reason for item in inside.coverage.fallbacks)


def test_a_session_runs_until_it_is_closed(target, built):
    run, _, model = built()
    with model.open() as session:
        (wanted,), (given,) = session.inputs, session.outputs
        assert (wanted.dtype, wanted.shape, given.shape[1:]) == (np.uint8, (None, 12, 12, 3), (5,))
        (y,) = session.run({wanted.name: run.images}).values()
        assert y.shape == (16, 5)
        assert np.array_equal(session.predict(run.images), y)
    with pytest.raises(ValueError, match="closed"):
        session.run({wanted.name: run.images})


def test_lower_gives_the_same_bytes_every_time(target, exported):
    marked = exported(target().profiles[0]).marked
    once, again = (
        ir.to_proto(target().lower(ir.load(marked), metadata={})).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert once == again


def test_profiles_that_the_target_cannot_run_are_refused_before_training(target):
    kind = target.model_fields["kind"].default
    for profile in set(PROFILES) - set(target().profiles):
        with pytest.raises(SpecError, match=f"cannot run quantize.profile '{profile}'"):
            load_pipeline(TINY, (f"targets=[{{kind: {kind}}}]", f"quantize.profile={profile}"))


def test_codes_that_it_cannot_hold_are_refused_with_a_reason(target, exported):
    marked = ir.load(exported("ort").marked)
    if "ort" in target().profiles:
        assert target().lower(marked, metadata={})
        return
    with pytest.raises(LowerError, match=r"codes 0\.\.255 do not fit int8") as caught:
        target().lower(marked, metadata={})
    assert caught.value.fix


def test_build_refuses_what_is_no_model(target, tmp_path):
    ready = target().readiness()
    if ready.not_built:
        assert "pip install" in ready.not_built
        return
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BuildError, match="refuses the model"):
        target().build(tmp_path / "model.onnx", tmp_path / "engine")


def test_readiness_says_what_is_installed_or_how_to_get_it(target):
    ready = target().readiness()
    assert ready.version[:1].isdigit() or "pip install" in ready.not_built
    assert not ready.not_built or ready.not_run
