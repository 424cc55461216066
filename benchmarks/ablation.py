"""Arms of an ablation, image by image: how much more often an arm's engines are right than the reference's.

    python -m benchmarks.ablation --reference hinton \
        --arm qkd runs/qkd_0 runs/qkd_1 runs/qkd_2 --arm hinton runs/kd_0 runs/kd_1 runs/kd_2

A folder is what edgekd compress wrote. The folders of all arms have the same seeds in the same order; an arm
of one folder stands for all seeds (post-training quantization). Every engine answers the whole test split, on
which nothing decided. The difference of an arm is the mean over seeds of paired differences; its interval is
over the images, each with its mean over seeds, so it holds for these seeds. How far seeds spread is told
apart.
"""

import argparse
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.rows import append_row
from edgekd.core.profile import PROFILES
from edgekd.report.schema import Report
from edgekd.spec import load_pipeline

Right = NDArray[np.bool_]
"""Whether an engine's answer is right, (seeds, images)."""


def main() -> None:
    arguments = _arguments()
    arms = {name: [Path(folder) for folder in folders] for name, *folders in arguments.arm}
    right = {name: np.stack([right_answers(folder) for folder in folders]) for name, folders in arms.items()}
    first = next(iter(arms.values()))[0]
    report = Report.load(first / "report.json")
    profile = load_pipeline(first / "spec.resolved.yaml").quantize.profile
    append_row(
        "ablation",
        {
            "pipelines": {name: [str(folder) for folder in folders] for name, folders in arms.items()},
            "seeds": [_seed(folder) for folder in arms[arguments.reference]],
            "spec_digests": {
                name: [Report.load(folder / "report.json").spec_digest for folder in folders]
                for name, folders in arms.items()
            },
            "bits": report.student.bits.model_dump(),
            "profile": profile,
            "profile_version": PROFILES[profile].version,
            "n": int(right[arguments.reference].shape[1]),
            "reference": arguments.reference,
            "arms": {name: _figures(found, right[arguments.reference]) for name, found in right.items()},
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


def _figures(arm: Right, reference: Right) -> dict[str, Any]:
    mean, low, high = difference(arm, reference)
    seeds = arm.mean(axis=1)
    return {
        "top1": [round(float(value), 4) for value in seeds],
        "mean": round(float(seeds.mean()), 5),
        "difference": round(mean, 5),
        "ci95": [round(low, 5), round(high, 5)],
    }


def right_answers(folder: Path) -> NDArray[np.bool_]:
    spec = load_pipeline(folder / "spec.resolved.yaml")
    target, test = spec.targets[0], spec.data.split("test")
    engine = folder / Report.load(folder / "report.json").targets[0].model_path
    with target.open(engine) as session:
        right = spec.task.correct(session.predict(test.images), test.labels)
    assert right is not None, "the task knows no right answer"
    return right


def _seed(folder: Path) -> int:
    return int(yaml.safe_load((folder / "spec.resolved.yaml").read_text(encoding="utf-8"))["seed"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--arm", nargs="+", action="append", required=True, metavar=("NAME", "RUN"), help="its run folders"
    )
    parser.add_argument("--reference", required=True, metavar="NAME", help="the arm to compare with")
    return parser.parse_args()


if __name__ == "__main__":
    main()
