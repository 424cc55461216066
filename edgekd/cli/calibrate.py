"""The verb ``calibrate``: which images scales start from, written down and checked."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli.exit_codes import FAILED
from edgekd.cli.options import AllowCode, AsJson, Overrides, SpecFile
from edgekd.cli.printing import print_json, say
from edgekd.errors import SpecError


def calibrate(
    spec: SpecFile,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    samples: Annotated[int | None, typer.Option(min=1, help="How many images; default as SPEC says.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The manifest; default the one SPEC names, or SPEC.calibration.json.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Compare the manifest with the data.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing manifest.")] = False,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Choose calibration images evenly over the classes, or check that they are still the same (exit 3)."""
    from edgekd.core.user_code import allow_user_code
    from edgekd.data.manifest import first_difference, read_manifest, write_manifest
    from edgekd.spec import load_pipeline

    if allow_code:
        allow_user_code()
    pipeline = load_pipeline(spec, tuple(overrides))
    calibration, data = pipeline.quantize.calibration, pipeline.data
    path = out or calibration.manifest_path
    if check:
        found = read_manifest(_named(path, spec))
        _say(_named(path, spec), found, data, as_json=as_json, difference=first_difference(found, data))
        return
    path = path or spec.with_suffix(".calibration.json")
    if path.exists() and not force:
        fix = "compare it with the data with --check, choose another file with --out, or add --force"
        what = f"{path} exists already"
        raise SpecError(what, where="edgekd calibrate", fix=fix)
    found = write_manifest(path, data, samples=samples or calibration.samples, seed=seed)
    _say(path, found, data, as_json=as_json)
    if calibration.manifest_path is None and not as_json:
        name = os.path.relpath(path, spec.parent)
        say(f"Next, in {spec}: quantize: {{calibration: {{manifest: {name}}}}}")


def _named(path: Path | None, spec: Path) -> Path:
    if path is None:
        what = "the pipeline file names no calibration manifest"
        fix = f"write one with edgekd calibrate {spec}, and name it in quantize.calibration.manifest"
        raise SpecError(what, where=str(spec), fix=fix)
    return path


def _say(path: Path, manifest: Any, data: Any, *, as_json: bool, difference: str | None = None) -> None:
    """Print a manifest and its class balance, and where it was compared, what differs; that exits with 3."""
    from edgekd.data.manifest import class_balance

    balance = class_balance(manifest, data)
    if as_json:
        seen = {"path": str(path), "samples": len(manifest.samples), "classes": balance}
        print_json({**seen, "sha256": manifest.sha256, "difference": difference})
    else:
        say(f"{path}: {len(manifest.samples)} of {len(data.split('train'))} train images")
        if balance:
            say("by class: " + ", ".join(f"{name} {count}" for name, count in balance.items()))
        if difference is not None:
            say(f"differs: {difference}" if difference else "every image is as it was")
    if difference:
        raise typer.Exit(FAILED)
