import json
from pathlib import Path


def test_inspect_says_what_each_operator_costs_and_where_time_is_lost(cli, float_model: Path) -> None:
    done = cli("inspect", float_model, "--top", "1")
    assert "time: 0.0 % integer, 100.0 % float, 0.0 % borders" in done.out
    assert "time lost: 100.0 % MatMul (y): quantize both inputs and the result [matmul]" in done.out
    assert "Slowest" in done.out
    assert "Slowest" not in cli("inspect", float_model, "--top", "0").out
    seen = json.loads(cli("inspect", float_model, "--json").out)
    (node,) = seen["coverage"]["nodes"]
    assert (node["op"], node["kind"], node["time_share"], node["island"]) == ("MatMul", "float", 1.0, "y")
    assert [item["op"] for item in seen["lost_time"]] == ["MatMul"]
    assert seen["saturation"] == []
