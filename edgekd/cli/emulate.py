"""The verb ``emulate``: what another kind of CPU needs to be emulated here."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.printing import print_json, say


def emulate(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="aarch64 or x86_64.")],
    into: Annotated[
        Path | None, typer.Option(help="The folder; default $EDGEKD_EMULATION/ARCH, or in the user's cache.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Fetch Python and ONNX Runtime of another CPU for targets with device: emulated. Needs no root."""
    from edgekd.device.emulation import DEBIAN_NAMES, emulation_folder, prepare
    from edgekd.errors import SpecError

    if arch not in DEBIAN_NAMES:
        what = f"unknown architecture {arch!r}"
        raise SpecError(what, where="edgekd emulate", fix=f"one of: {', '.join(DEBIAN_NAMES)}")
    folder = into or emulation_folder(arch)
    prepare(arch, folder)
    if as_json:
        print_json({"arch": arch, "folder": str(folder)})
    else:
        say(f"{folder}: use it with device: emulated:{arch}")
