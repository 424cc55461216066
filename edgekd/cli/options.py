"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.core.machine import MAX_THREADS
from edgekd.errors import SpecError

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A pipeline file.")]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="An ONNX file, or a folder of edgekd.export.")
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the file.")
]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Run the Python files that SPEC names.")]
Mean = Annotated[str, typer.Option(help="Mean that the weights were trained with, as 0.485,0.456,0.406.")]
Std = Annotated[str, typer.Option(help="Deviation that they were trained with, as 0.229,0.224,0.225.")]
Threads = Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of one inference.")]
TargetText = Annotated[str, typer.Option("--target", help="Runtime, as edgekd list target shows them.")]
StoreRoot = Annotated[
    Path | None, typer.Option("--store", help="Store folder; default $EDGEKD_STORE or the cache.")
]
Devices = Annotated[
    int, typer.Option(min=1, max=64, help="Processes that share each training: GPUs, or on the CPU.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

FRACTIONS = "write one fraction of 255 per channel: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"


def fractions(text: str) -> list[float]:
    """Return the numbers of ``--mean`` or ``--std``; none for an empty text.

    Raises:
        SpecError: If it is no list of numbers.
    """
    try:
        return [float(part) for part in text.split(",") if text]
    except ValueError as e:
        what = f"{text!r} is not a list of numbers"
        raise SpecError(what, where="--mean, --std", fix=FRACTIONS) from e
