from edgekd.report.layer_rows import float_groups, layer_rows
from edgekd.report.schema import Report
from edgekd.report.target_schema import Fallback, LayerFidelity, TargetReport


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


def test_layer_rows_keep_the_time_of_a_layer_that_is_called_as_a_quantizer(report: Report):
    target = report.targets[0]
    layers = tuple(LayerFidelity(name=name, off_by_one=0, off_by_more=0) for name in ("sub", "sub.q"))
    nodes = tuple(
        target.coverage.nodes[0].model_copy(update={"node": name, "time_share": share})
        for name, share in (("sub", 0.1), ("sub.q", 0.2), ("sub.q.q", 0.3))
    )
    changed = target.model_copy(
        update={
            "fidelity": target.fidelity.model_copy(update={"layers": layers}),
            "coverage": target.coverage.model_copy(update={"nodes": nodes}),
        }
    )
    times = {row.name: row.time_share for row in layer_rows(changed)}
    assert (times["sub"], times["sub.q"]) == (0.1, 0.5)


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
