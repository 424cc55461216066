"""Mutated pipeline files and models: exit 0, 2 or 3, a message that names its place, never a traceback."""

import copy
import random
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PIPELINES = [yaml.safe_load(path.read_text()) for path in sorted(Path("pipelines").glob("*.yaml"))]
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        float("nan"),
        "",
        "none",
        "timm:../x",
        "python:/etc/passwd:x",
        "$EDGEKD_DATA/../x",
        [],
        {},
    ]
) | st.text(max_size=6)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a tree."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    return [(tree, key) for key, _ in items] + [
        place for _, child in items if isinstance(child, dict | list) for place in _places(child)
    ]


@st.composite
def mutated_pipelines(draw: st.DrawFn) -> str:
    """One of the shipped pipeline files with one to three values, keys or sections changed."""
    tree = copy.deepcopy(draw(st.sampled_from(PIPELINES)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(_places(tree)))
        match draw(st.integers(0, 3)):
            case 0:
                container[key] = draw(ODD)
            case 1 if isinstance(container, dict):
                container[draw(st.sampled_from([f"{key}s", f"{key}"[1:], "kind", "weights"]))] = (
                    container.pop(key)
                )
            case 2:
                del container[key]
            case _:
                container[key] = copy.deepcopy(
                    draw(st.sampled_from([value[key] for value, key in _places(tree)]))
                )
    return yaml.safe_dump(tree, allow_unicode=True)


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=mutated_pipelines())
def test_check_explains_any_mutated_pipeline(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    path = tmp_path / "mutated.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    done = cli("check", path)
    assert done.code in {0, 2}, done.err
    assert "Traceback" not in done.err
    assert done.code == 0 or ("where:" in done.err and "fix:" in done.err), done.err
    assert not (tmp_path / "store").exists()


def _mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randint(1, 9)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 9))
            case _:
                changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _mutate_graph(content: bytes, rng: random.Random) -> bytes:
    model = onnx.load_from_string(content)
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    for _ in range(rng.randint(1, 2)):
        node = rng.choice(model.graph.node)
        match rng.randrange(6):
            case 0 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(names)
            case 1:
                node.op_type = rng.choice(
                    ("Add", "Conv", "Gemm", "DequantizeLinear", "Loop", "Nothing", "Relu")
                )
            case 2 if node.attribute:
                item = rng.choice(node.attribute)
                item.i, item.f = rng.choice((-1, 0, 1 << 40)), float("nan")
            case 3 if model.graph.initializer:
                tensor = rng.choice(model.graph.initializer)
                tensor.dims[:] = [rng.choice((0, 1, 7, 1 << 40)) for _ in tensor.dims]
            case 4:
                model.graph.node.remove(node)
            case _:
                model.opset_import[0].version = rng.choice((1, 7, 13, 99))
    return model.SerializeToString()


@pytest.mark.parametrize("mutate", [_mutate_bytes, _mutate_graph])
@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_mutated_models_are_explained(cli, residual, tmp_path: Path, mutate: Any, verb: str) -> None:
    path, content = tmp_path / "mutated.onnx", residual.model.read_bytes()
    codes = set()
    for seed in range(40):
        path.write_bytes(mutate(content, random.Random(seed)))
        done = cli(verb, path)
        assert done.code in {0, 2, 3}, (seed, done.err)
        assert "Traceback" not in done.err
        assert done.code != 2 or (str(path) in done.err and "fix:" in done.err), (seed, done.err)
        codes.add(done.code)
    assert 2 in codes
