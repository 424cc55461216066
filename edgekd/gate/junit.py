"""Results as JUnit XML, which GitHub actions, GitLab and Jenkins show."""

from collections.abc import Sequence
from xml.etree import ElementTree

from edgekd.report.schema import GateResult
from edgekd.report.words import gate_sentence, one_line

ELEMENTS = {"failed": "failure", "inconclusive": "error", "not_applicable": "skipped"}
"""An error is a test that could not say: red as well, and counted apart; a skipped one is harmless."""


def junit_xml(title: str, results: Sequence[GateResult]) -> str:
    """Return one test case for each limit and engine.

    The sentence stands in the element's message and in its text: readers show one or the other.
    """
    counts = {"tests": str(len(results))}
    for state, plural in (("failed", "failures"), ("inconclusive", "errors")):
        counts[plural] = str(sum(result.state == state for result in results))
    root = ElementTree.Element("testsuites", counts, name="edgekd gate")
    skipped = str(sum(result.state == "not_applicable" for result in results))
    suite = ElementTree.SubElement(root, "testsuite", counts, name=one_line(title), skipped=skipped)
    for result in results:
        engine = one_line(result.engine)
        case = ElementTree.SubElement(suite, "testcase", classname=engine, name=result.name)
        said = gate_sentence(result)
        if result.state in ELEMENTS:
            element = ElementTree.SubElement(case, ELEMENTS[result.state], message=said)
            element.text = said
            if result.state != "not_applicable":  # JUnit's skipped has no type
                element.set("type", result.state)
        else:
            ElementTree.SubElement(case, "system-out").text = said
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
