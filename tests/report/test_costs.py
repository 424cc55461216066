from edgekd.report.costs import lost_lines, saturation_line, time_shares
from edgekd.report.schema import Report
from edgekd.runtimes.lost_time import NodeCost
from edgekd.runtimes.saturation import Saturation


def test_time_shares_add_up_the_kinds(report: Report):
    nodes = report.targets[0].coverage.nodes
    assert time_shares(nodes) == "65.0 % integer, 0.0 % float, 5.0 % borders"
    assert time_shares([NodeCost(node="c", op="Conv", kind="float")]) == time_shares([]) == ""


def test_lost_lines_say_what_it_costs_why_and_what_to_change(report: Report):
    nodes = report.targets[0].coverage.nodes
    assert lost_lines(nodes) == ["3.1 % QuantizeLinear (image.q): take uint8 pixels [pixels]"]
    island = [
        NodeCost(node="a", op="Erf", kind="float", time_share=0.1, island="a", reason="why", change="what"),
        NodeCost(node="b", op="Erf", kind="float", time_share=0.05, island="b", reason="too", change="what"),
        NodeCost(node="q", op="QuantizeLinear", kind="border", time_share=0.025, island="b"),
    ]
    assert lost_lines(island) == [
        "17.5 % Erf (a and 1 more, see coverage.nodes), of it 2.5 % at the borders around it: why; what"
    ]


def test_saturation_line_adds_up_the_layers():
    layers = [
        Saturation(node="stem", channels=16, could=3, does=1),
        Saturation(node="head", channels=10, could=2, does=0),
    ]
    line = saturation_line(layers)
    assert line.startswith("without VNNI, 5 of 26 channels in 2 layers (first stem) may saturate, 1 do on")
    assert "session.x64quantprecision=1" in line
    assert " do on " not in saturation_line([Saturation(node="stem", channels=16, could=3)])
    assert saturation_line([]) == ""
