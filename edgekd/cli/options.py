"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.core.machine import MAX_THREADS

ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="An ONNX file, or a folder of edgekd.export.")
]
Threads = Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of one inference.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
