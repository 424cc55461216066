"""Compare the tests that were skipped with the committed list: a test that stops running fails CI."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def skipped_tests(junit: Path) -> set[str]:
    """Return ``file::test`` of every skipped test in a JUnit file."""
    cases = ElementTree.parse(junit).iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("skipped") is not None
    }


def main(junit: str, expected: str) -> int:
    """Print the difference; 1 if there is one."""
    found = skipped_tests(Path(junit))
    known = {line for line in Path(expected).read_text().splitlines() if line and not line.startswith("#")}
    for name in sorted(found - known):
        print(f"skipped, but not in {expected}: {name}")  # noqa: T201
    for name in sorted(known - found):
        print(f"in {expected}, but not skipped: {name}")  # noqa: T201
    return int(found != known)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
