from edgekd.report.layer_rows import float_groups, layer_rows
from edgekd.report.schema import Report
from edgekd.report.target_schema import Fallback, TargetReport


def _with_float(report: Report) -> TargetReport:
    target = report.targets[0]
    fallbacks = tuple(
        Fallback(node=f"block{i}.add{suffix}", op=op, reason=reason)
        for i in (1, 2)
        for suffix, op, reason in (("", "Add", "no integer form"), (".q", "QuantizeLinear", "border"))
    )
    return target.model_copy(
        update={"coverage": target.coverage.model_copy(update={"fallbacks": fallbacks, "float_ops": 4})}
    )


def test_layer_rows_join_file_fidelity_and_time(report: Report):
    rows = {row.name: row for row in layer_rows(report.targets[0])}
    conv = rows["block1.conv1"]
    assert conv.weights and (conv.weights.lowest, conv.weights.highest, conv.sparsity) == (-1, 1, 0.5)
    assert conv.fidelity and conv.fidelity.off_by_one == 0.002
    assert (conv.time_share, conv.reason) == (0.4, "")
    assert rows["block1.add"].weights is None
    assert (rows["stem"].fidelity, rows["stem"].sparsity, rows["stem"].time_share) == (None, None, None)
    assert list(rows)[-1] == "stem"


def test_layer_rows_give_the_operators_own_reason(report: Report):
    rows = {row.name: row.reason for row in layer_rows(_with_float(report))}
    assert rows["block1.add"] == rows["block2.add"] == "no integer form"
    assert rows["block1.conv1"] == ""


def test_float_groups_say_each_reason_once(report: Report):
    groups = float_groups(_with_float(report).coverage)
    assert [(group.op, group.nodes) for group in groups] == [
        ("Add", ("block1.add", "block2.add")),
        ("QuantizeLinear", ("block1.add.q", "block2.add.q")),
    ]
