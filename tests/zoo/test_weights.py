import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekd.errors import DataError
from edgekd.zoo.weights import load_weights


def network(width=4):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def save(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_load_weights_copies_every_tensor(tmp_path, monkeypatch):
    given = network()
    save(tmp_path, given.state_dict())
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    loaded = network()
    load_weights(loaded, "$EDGEKD_DATA/w.safetensors")
    for name, value in given.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_load_weights_names_missing_and_unexpected_keys(tmp_path):
    state = network().state_dict()
    state["2.weight"] = state.pop("0.bias")
    with pytest.raises(DataError) as error:
        load_weights(network(), save(tmp_path, state))
    assert error.value.what == "1 missing: 0.bias; 1 unexpected: 2.weight"


def test_load_weights_names_the_first_keys_of_another_shape(tmp_path):
    path = save(tmp_path, network(5).state_dict())
    with pytest.raises(DataError) as error:
        load_weights(network(4), path)
    assert error.value.what.startswith("6 of another shape: 0.bias (5,) instead of (4,)")
    assert error.value.what.endswith(", ...")


def test_load_weights_refuses_pickled_files(tmp_path):
    torch.save(network().state_dict(), tmp_path / "w.pt")
    with pytest.raises(DataError, match="can run code when read") as error:
        load_weights(network(), tmp_path / "w.pt")
    assert "save_file" in error.value.fix


def test_load_weights_refuses_missing_and_damaged_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_weights(network(), tmp_path / "none.safetensors")
    path = save(tmp_path, network().state_dict())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="not a readable safetensors file"):
        load_weights(network(), path)
