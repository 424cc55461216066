import pytest
import torch
from torch import fx

from edgekd.zoo.cost import count_macs, count_params
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec


@pytest.mark.parametrize(
    ("width", "params_m", "macs_m"), [(0.35, 1.66, 59), (0.5, 1.95, 97), (1.0, 3.47, 300), (1.4, 6.06, 582)]
)
def test_build_has_the_size_of_the_reference_implementation(width, params_m, macs_m):
    """Table of the checkpoints in tensorflow/models, slim/nets/mobilenet, whose counts are a little lower."""
    body = MobileNetV2Spec(width=width, stem="imagenet").build(channels=3, classes=1000, size=(224, 224))
    assert count_params(body) / 1e6 == pytest.approx(params_m, rel=0.015)
    assert count_macs(body, channels=3, height=224, width=224) / 1e6 == pytest.approx(macs_m, abs=1)


@pytest.mark.parametrize(("stem", "size"), [("small", 4), ("imagenet", 1)])
def test_build_divides_the_image_by_8_with_the_small_stem_and_by_32_otherwise(stem, size):
    body = MobileNetV2Spec(width=0.5, stem=stem).build(channels=1, classes=10, size=(32, 32)).eval()
    shapes = []
    body.head.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    assert body(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    assert shapes == [(2, 1280, size, size)]


def test_build_names_its_layers_shortly():
    names = {
        name for name, _ in MobileNetV2Spec().build(channels=1, classes=10, size=(32, 32)).named_modules()
    }
    expected = {
        "stem.conv",
        "blocks.3.expand.bn",
        "blocks.3.depthwise.act",
        "blocks.3.project.conv",
        "classifier",
    }
    assert expected <= names
    assert "blocks.3.project.act" not in names
    assert "blocks.0.expand" not in names


def test_build_adds_residuals_in_the_ten_blocks_that_keep_their_shape():
    body = MobileNetV2Spec().build(channels=1, classes=10, size=(32, 32))
    graph = fx.symbolic_trace(body).graph
    assert sum(node.target.__name__ == "add" for node in graph.nodes if node.op == "call_function") == 10


def test_title_shows_the_width():
    assert MobileNetV2Spec(width=0.5).title == "mobilenet_v2 x0.5"
    assert MobileNetV2Spec().title == "mobilenet_v2 x1"
