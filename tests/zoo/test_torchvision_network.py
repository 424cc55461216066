from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from edgekd.errors import DataError, ExportError, SpecError
from edgekd.zoo.torchvision_network import TorchvisionSpec

SHAPE = {"channels": 3, "classes": 10, "size": (32, 32)}
PRETRAINED = TorchvisionSpec(name="squeezenet1_1", weights="IMAGENET1K_V1")


@pytest.fixture
def published(torchvision, tmp_path, monkeypatch):
    """A pretrained SqueezeNet where torchvision's own loader keeps what it has downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(3)
    body = torchvision.models.get_model("squeezenet1_1", weights=None)
    url = torchvision.models.get_model_weights("squeezenet1_1").IMAGENET1K_V1.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(body.state_dict(), folder / Path(url).name)
    return body


def test_pretrained_weights_come_with_their_normalization_and_a_fresh_head(published):
    weights = PRETRAINED.given_weights(**SHAPE)
    assert (weights.mean, weights.std, weights.classes) == (
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1000,
    )  # fmt: skip
    body = PRETRAINED.build(**SHAPE)
    weights.load_into(body)
    for name, value in published.state_dict().items():
        assert torch.equal(body.state_dict()[name], value) == (not name.startswith("classifier."))


def test_without_a_connection_there_is_one_clear_message(torchvision, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="torchvision cannot load SqueezeNet1_1_Weights"):
        PRETRAINED.given_weights(**SHAPE).load_into(PRETRAINED.build(**SHAPE))


def test_options_reach_torchvision_but_not_those_that_the_data_decide(torchvision):
    spec = TorchvisionSpec(name="squeezenet1_1", options={"dropout": 0.25})
    assert spec.build(**SHAPE).classifier[0].p == 0.25
    with pytest.raises(ValidationError, match="the data and the key weights say it"):
        TorchvisionSpec(name="resnet18", options={"num_classes": 3})


@pytest.mark.parametrize(
    ("spec", "channels", "what", "fix"),
    [
        (TorchvisionSpec(name="resnet118"), 3, "no classification network 'resnet118'", "resnet18"),
        (TorchvisionSpec(name="fcn_resnet50"), 3, "no classification network", "did you mean"),
        (TorchvisionSpec(name="resnet18", options={"nope": 1}), 3, "'nope'", "options"),
        (TorchvisionSpec(name="squeezenet1_1"), 1, "cannot take images", "(n, channels, height, width)"),
        (TorchvisionSpec(name="vit_b_16"), 3, "Wrong image height", "(n, channels, height, width)"),
    ],
)
def test_what_torchvision_cannot_make_is_said(torchvision, spec, channels, what, fix):
    with pytest.raises((SpecError, ExportError), match=what) as error:
        spec.build(channels=channels, classes=10, size=(32, 32))
    assert fix in error.value.fix


def test_unknown_weights_are_named_with_those_that_are_known(torchvision):
    with pytest.raises(SpecError, match="no weights 'IMAGENET1K_V9'") as error:
        TorchvisionSpec(name="resnet18", weights="IMAGENET1K_V9").given_weights(**SHAPE)
    assert error.value.fix == "known: IMAGENET1K_V1, DEFAULT"
