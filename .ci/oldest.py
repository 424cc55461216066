"""Print a pip constraint for the oldest version of every package that pyproject.toml claims to work with."""

import re
import sys
import tomllib
from pathlib import Path

CLAIM = re.compile(r"^([A-Za-z0-9_-]+)>=([0-9.]+)")


def main() -> int:
    """Print ``NAME==VERSION`` lines for the package itself and the extras named on the command line."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = [claim for name in sys.argv[1:] for claim in project["optional-dependencies"][name]]
    for claim in [*project["dependencies"], *extras]:
        if found := CLAIM.match(claim):
            print(f"{found[1]}=={found[2]}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
