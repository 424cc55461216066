"""Pipelines that differ in their method, image by image: how much more often one's engines are right.

    python -m benchmarks.ablation cifar10_resnet20_w4a4_{hinton,qkd,qat,none} --seeds 0 1 2

The others are compared with the first. Works on the rows of benchmarks.pipelines, which keep what each engine
answered right of the whole test split, on which nothing decided; the newest of a pipeline and seed counts.
Calibration alone (``distill: {kind: none}``), of given float weights, knows no seed: one row stands for all.
Networks, bits, quantizers and runtime have to be the same; that budgets are, the pipelines' files say.

The difference is the mean over seeds of paired differences; its interval is over the images, each with its
mean over seeds, so it holds for these seeds. How far seeds spread is told apart.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import chain
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.answers import Right, kept_answers
from benchmarks.rows import append_row, read_rows

Row = dict[str, Any]

SAME = ("student", "bits", "quantizers", "target", "device", "profile", "profile_version")


def main() -> None:
    arguments = _arguments()
    arms = {name: _rows_of(name, arguments.seeds) for name in arguments.pipelines}
    first = _what_all_share(list(chain.from_iterable(arms.values())))
    right = {name: np.stack([kept_answers(row, "engine") for row in found]) for name, found in arms.items()}
    reference = arguments.pipelines[0]
    append_row(
        "ablation",
        {
            "command": f"python -m benchmarks.ablation {' '.join(arguments.pipelines)} "
            f"--seeds {' '.join(map(str, arguments.seeds))}",
            "seeds": arguments.seeds,
            "reference": reference,
            **first,
            "n": right[reference].shape[1],
            "arms": {
                name: {
                    "method": arms[name][0]["method"],
                    "spec_digests": [row["spec_digest"] for row in arms[name]],
                    **_figures(found, right[reference]),
                }
                for name, found in right.items()
            },
        },
    )


def difference(arm: Right, reference: Right) -> tuple[float, float, float]:
    """Return the mean paired difference and its 95 % interval over images; (seeds, images) each.

    Example:
        >>> arm, reference = np.array([[True, True, False, True]]), np.array([[True, False, False, True]])
        >>> print("{:.3f} {:.3f} {:.3f}".format(*difference(arm, reference)))
        0.250 -0.240 0.740
    """
    each = arm.astype(float).mean(axis=0) - reference.astype(float).mean(axis=0)
    half = NormalDist().inv_cdf(0.975) * each.std(ddof=1) / len(each) ** 0.5
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def _rows_of(pipeline: str, seeds: Sequence[int]) -> list[Row]:
    """Return the newest row of every seed that keeps answers; one row if nothing was trained."""
    rows = [row for _, row in read_rows("pipelines") if row["pipeline"] == pipeline and row.get("right")]
    if rows and rows[-1]["method"] == "none":
        return rows[-1:]
    newest = {row["seed"]: row for row in rows}
    if missing := [str(seed) for seed in seeds if seed not in newest]:
        sys.exit(
            f"{pipeline} has no row with answers of seed {', '.join(missing)}: run it, "
            f"then python -m benchmarks.pipelines --from-report runs/{pipeline}/report.json"
        )
    return [newest[seed] for seed in seeds]


def _what_all_share(rows: Sequence[Row]) -> Row:
    """Return what is the same in all rows, after checking that it is; those without a teacher have none."""
    first, taught = rows[0], {row["teacher"] for row in rows if row["teacher"]}
    for row in rows:
        if differ := [key for key in SAME if row[key] != first[key]]:
            sys.exit(f"{row['pipeline']} and {first['pipeline']} differ in {', '.join(differ)}")
    if len(taught) > 1:
        sys.exit(f"the teachers differ: {', '.join(sorted(taught))}")
    return {"teacher": next(iter(taught), None), **{key: first[key] for key in SAME}}


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
    parser.add_argument("pipelines", nargs="+", metavar="PIPELINE", help="names; the first is the reference")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="fixed before the runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
