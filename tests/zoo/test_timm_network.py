import huggingface_hub.constants
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from edgekd.data.dataset import DataInfo
from edgekd.errors import DataError, SpecError
from edgekd.zoo.network import build_body, given_weights
from edgekd.zoo.pixels import ImageNetwork, NormalizePixels, PixelGrid
from edgekd.zoo.student import start_from_weights
from edgekd.zoo.timm_network import TimmSpec
from edgekd.zoo.weights import WeightsSpec

pytestmark = pytest.mark.usefixtures("torchvision")
SHAPE = {"channels": 3, "classes": 10, "size": (32, 32)}


@pytest.fixture
def published(tmp_path):
    """A pretrained ResNet-10 as timm's own loader finds it, in a file instead of on the hub."""
    torch.manual_seed(3)
    body = TimmSpec(name="resnet10t").build(channels=3, classes=1000, size=(32, 32))
    save_file(body.state_dict(), tmp_path / "model.safetensors")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "model.safetensors")}}
    return body, TimmSpec(name="resnet10t", pretrained=True, options=overlay)


def test_a_network_of_one_size_gets_that_of_the_images():
    body = TimmSpec(name="vit_tiny_patch16_224").build(channels=1, classes=10, size=(32, 48))
    assert body.patch_embed.img_size == (32, 48)
    assert body.blocks[0].attn.fused_attn is False


def test_options_reach_timm_but_not_those_that_the_data_decide():
    body = TimmSpec(name="resnet10t", options={"drop_rate": 0.5}).build(**SHAPE)
    assert body.drop_rate == 0.5
    with pytest.raises(ValidationError, match="the data and the key pretrained say it"):
        TimmSpec(name="resnet10t", options={"num_classes": 3})


def test_pretrained_weights_come_with_their_normalization_and_a_fresh_head(published):
    trained, spec = published
    weights = spec.given_weights(**SHAPE)
    assert (weights.mean, weights.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    body = spec.build(**SHAPE)
    weights.load_into(body)
    for name, value in trained.state_dict().items():
        assert torch.equal(body.state_dict()[name], value) == (not name.startswith("fc."))
    assert body.fc.out_features == 10


def test_given_weights_of_a_vision_transformer_fold_into_its_patches(tmp_path):
    """Patches are not padded, so folding is exact."""
    spec, info = TimmSpec(name="vit_tiny_patch16_224"), DataInfo(tuple("abc"), 32, 32, 3, "RGB", "none")
    body = build_body(spec, info).eval()
    save_file(body.state_dict(), tmp_path / "vit.safetensors")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    weights = WeightsSpec(path=str(tmp_path / "vit.safetensors"), mean=mean, std=std)
    student = ImageNetwork(PixelGrid.like(mean, std), build_body(spec, info)).eval()
    start_from_weights(student, weights, (32, 32))
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = ImageNetwork(NormalizePixels(mean, std), body)(images)
        torch.testing.assert_close(student(images), expected, rtol=1e-3, atol=1e-4)


def test_grey_images_get_the_mean_of_the_normalization(published):
    weights = published[1].given_weights(channels=1, classes=10, size=(32, 32))
    assert weights.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    assert weights.std == pytest.approx(((0.229 + 0.224 + 0.225) / 3,))


def test_weights_for_other_classes_need_training(published):
    info = DataInfo(tuple("abc"), 32, 32, 3, "RGB", "none")
    with pytest.raises(SpecError, match="knows 1000 classes, the data have 3") as error:
        given_weights(published[1], None, info, trained=False)
    assert "add training" in error.value.fix
    assert given_weights(published[1], None, info, trained=True).classes == 1000


def test_without_the_hub_there_is_one_clear_message(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    spec = TimmSpec(name="resnet10t", pretrained=True)
    body = spec.build(**SHAPE)  # needs no hub
    with pytest.raises(DataError, match="cannot load the pretrained weights of resnet10t") as error:
        spec.given_weights(**SHAPE).load_into(body)
    assert "\n" not in error.value.what
    assert "safetensors" in error.value.fix
    assert "huggingface_hub" not in {record.name.partition(".")[0] for record in caplog.records}


@pytest.mark.parametrize(
    ("spec", "what", "fix"),
    [
        (TimmSpec(name="resnet188"), "has no network 'resnet188'", "resnet18"),
        (TimmSpec(name="resnet18", options={"nope": 1}), "'nope'", "options"),
    ],
)
def test_what_timm_cannot_make_is_said(spec, what, fix):
    with pytest.raises(SpecError, match=what) as error:
        spec.build(**SHAPE)
    assert fix in error.value.fix
