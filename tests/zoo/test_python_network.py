import pytest

from edgekd.core import user_code
from edgekd.errors import ExportError, SpecError
from edgekd.zoo.python_network import PythonNetworkSpec

SHAPE = {"channels": 1, "classes": 10, "size": (8, 8)}
START = "import torch\nfrom torch import nn\n"


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Return a function that writes ``build`` into a file and gives the spec that names it."""
    monkeypatch.setattr(user_code, "_ALLOWED", True)

    def write(body: str, **options) -> PythonNetworkSpec:
        (tmp_path / "mine.py").write_text(START + body)
        return PythonNetworkSpec(file=str(tmp_path / "mine.py"), function="build", options=options)

    return write


def test_the_function_gets_channels_classes_and_options(network):
    linear = "nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, wide), nn.Linear(wide, classes))"
    spec = network(f"def build(channels, classes, wide):\n    return {linear}\n", wide=5)
    assert spec.build(**SHAPE)[1].out_features == 5
    assert spec.title == "mine.build"
    assert spec.architecture == {"kind": "python", "function": "build", "options": {"wide": 5}}


def test_it_runs_only_when_allowed(network, monkeypatch):
    spec = network("def build(channels, classes): ...\n")
    monkeypatch.setattr(user_code, "_ALLOWED", False)
    with pytest.raises(SpecError, match="runs code of yours"):
        spec.build(**SHAPE)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("def build(channels, classes): return 7\n", "build returned a int, no torch.nn.Module"),
        ("def build(channels, classes): return nn.Linear\n", "build returned a type, no torch.nn.Module"),
        ("def build(channels): ...\n", "unexpected keyword argument 'classes'"),
        ("def build(channels, classes): return nn.Flatten()\n", r"makes a tensor \(2, 64\)"),
        ("def build(channels, classes): return nn.Linear(3, 4)\n", "cannot take images .* RuntimeError"),
        (
            "class Two(nn.Module):\n    def forward(self, x): return x, x\n"
            "def build(channels, classes): return Two()\n",
            r"makes tuple of images \(2, 1, 8, 8\), not a tensor \(2, 10\)",
        ),
        (
            "class Two(nn.Module):\n    def forward(self, x, y): return x\n"
            "def build(channels, classes): return Two()\n",
            "missing 1 required positional argument: 'y'",
        ),
    ],
)
def test_what_is_no_classifier_is_refused(network, body, what):
    with pytest.raises((SpecError, ExportError), match=what) as error:
        network(body).build(**SHAPE)
    assert "mine.py" in error.value.where
    assert error.value.fix
