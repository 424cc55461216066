import json


def test_emulate_prepares_a_folder(cli, monkeypatch, tmp_path) -> None:
    prepared = []
    monkeypatch.setattr("edgekd.device.emulation.prepare", lambda *asked: prepared.append(asked))
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    done = cli("emulate", "aarch64")
    assert (done.code, prepared) == (0, [("aarch64", tmp_path / "aarch64")])
    assert "device: emulated:aarch64" in done.out
    done = cli("emulate", "x86_64", "--into", tmp_path / "here", "--json")
    assert json.loads(done.out) == {"arch": "x86_64", "folder": str(tmp_path / "here")}


def test_emulate_names_the_architectures_it_knows(cli) -> None:
    done = cli("emulate", "riscv64")
    assert done.code == 2
    assert "one of: aarch64, x86_64" in done.err
