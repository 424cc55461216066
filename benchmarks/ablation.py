"""Pipelines that differ in their method, image by image: how much more often one's engines are right.

    python -m benchmarks.ablation cifar10_resnet20_w4a4_{qkd,hinton,qat,none} --reference hinton --seeds 0 1 2

Works on the rows of benchmarks.pipelines, which keep what each engine answered right of the whole test split,
on which nothing decided; the newest row of a pipeline and seed counts. Without training there is no seed: one
row stands for all. The difference of a method is the mean over seeds of paired differences; its interval is
over the images, each with its mean over seeds, so it holds for these seeds. How far seeds spread is told
apart.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import chain
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import unpacked
from benchmarks.rows import append_row, read_rows

Row = dict[str, Any]
Right = NDArray[np.bool_]
"""Whether an engine's answer is right, (seeds, images)."""

SAME = ("teacher", "student", "bits", "quantizers", "profile", "profile_version")


def main() -> None:
    arguments = _arguments()
    arms = _arms(arguments.pipelines, arguments.seeds)
    if arguments.reference not in arms:
        sys.exit(f"no pipeline is of the reference {arguments.reference}: got {', '.join(arms)}")
    first = arms[arguments.reference][0]
    right = {method: _right(found) for method, found in arms.items()}
    append_row(
        "ablation",
        {
            "command": f"python -m benchmarks.ablation {' '.join(arguments.pipelines)} "
            f"--reference {arguments.reference} --seeds {' '.join(map(str, arguments.seeds))}",
            "pipelines": {method: found[0]["pipeline"] for method, found in arms.items()},
            "spec_digests": {method: [row["spec_digest"] for row in found] for method, found in arms.items()},
            "seeds": arguments.seeds,
            **{key: first[key] for key in SAME},
            "n": first["metric"]["engine"]["n"],
            "reference": arguments.reference,
            "arms": {method: _figures(found, right[arguments.reference]) for method, found in right.items()},
        },
    )


def difference(arm: Right, reference: Right) -> tuple[float, float, float]:
    """Return the mean paired difference and its 95 % interval over images.

    Example:
        >>> arm, reference = np.array([[True, True, False, True]]), np.array([[True, False, False, True]])
        >>> print("{:.3f} {:.3f} {:.3f}".format(*difference(arm, reference)))
        0.250 -0.240 0.740
    """
    each = arm.astype(float).mean(axis=0) - reference.astype(float).mean(axis=0)
    half = NormalDist().inv_cdf(0.975) * each.std(ddof=1) / len(each) ** 0.5
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def _arms(pipelines: Sequence[str], seeds: Sequence[int]) -> dict[str, list[Row]]:
    """Return the rows of every method, one per seed, after checking that nothing else differs."""
    found = [_rows_of(name, seeds) for name in pipelines]
    first = found[0][0]
    for row in chain.from_iterable(found):
        if differ := [key for key in SAME if row[key] != first[key]]:
            sys.exit(f"{row['pipeline']} and {first['pipeline']} differ in {', '.join(differ)}")
    arms = {rows[0]["method"]: rows for rows in found}
    if len(arms) < len(found):
        sys.exit(f"give one pipeline of each method, not {len(found)} of {', '.join(arms)}")
    return arms


def _rows_of(pipeline: str, seeds: Sequence[int]) -> list[Row]:
    """Return the newest row of every seed with its answers; one row if nothing was trained."""
    newest = {row["seed"]: row for _, row in read_rows("pipelines") if row["pipeline"] == pipeline}
    newest = {seed: row for seed, row in newest.items() if row.get("right")}
    untrained = [row for row in newest.values() if row["method"] == "none"][-1:]
    if missing := [] if untrained else [str(seed) for seed in seeds if seed not in newest]:
        sys.exit(
            f"{pipeline} has no row with answers of seed {', '.join(missing)}: run it, "
            f"then python -m benchmarks.pipelines --from-report runs/{pipeline}/report.json"
        )
    return untrained or [newest[seed] for seed in seeds]


def _right(rows: Sequence[Row]) -> Right:
    return np.stack([unpacked(row["right"], row["metric"]["engine"]["n"]) for row in rows])


def _figures(arm: Right, reference: Right) -> dict[str, Any]:
    mean, low, high = difference(arm, reference)
    seeds = arm.mean(axis=1)
    return {
        "top1": [round(float(value), 4) for value in seeds],
        "mean": round(float(seeds.mean()), 5),
        "difference": round(mean, 5),
        "ci95": [round(low, 5), round(high, 5)],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipelines", nargs="+", metavar="PIPELINE", help="names, one of each method")
    parser.add_argument("--reference", required=True, metavar="METHOD", help="the method to compare with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="fixed before the runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
