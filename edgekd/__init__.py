"""edgekd: knowledge distillation to integer models, proved on the device.

The command line runs whole pipelines; these four functions are the same steps for a training loop of your
own:

    prepare(model, example, profile)     a float network -> a student with quantizers
    calibrate(student, batches)          scales from data
    export(student, probes, folder)      the trained student -> marked graph and integer ONNX
    verify(folder, images, labels)       proof: integer coverage, oracle, layers, accuracy
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.export.export import export
    from edgekd.quant.calibrate import calibrate
    from edgekd.quant.prepare import prepare
    from edgekd.verify.verify import verify

__version__ = "0.1.0"

__all__ = ["calibrate", "export", "prepare", "verify"]

_HOMES = {
    "calibrate": "edgekd.quant.calibrate",
    "export": "edgekd.export.export",
    "prepare": "edgekd.quant.prepare",
    "verify": "edgekd.verify.verify",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used: ``import edgekd`` stays free of torch."""
    if name not in _HOMES:
        msg = f"module 'edgekd' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
