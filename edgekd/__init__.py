"""edgekd: knowledge distillation to integer models, proved on the device.

The command line runs whole pipelines; these four functions are the same steps for a training loop of your
own:

    prepare(model, example, profile)     a float network -> a student with quantizers
    calibrate(student, batches)          scales from data
    export(student, probes, folder)      the trained student -> marked graph and integer ONNX
    verify(folder, images, labels)       proof: integer coverage, oracle, layers, accuracy
"""

import sys
from importlib import import_module
from types import ModuleType
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


class _Edgekd(ModuleType):
    """Imports a public function when it is used: ``import edgekd`` stays free of torch.

    The packages ``edgekd.export`` and ``edgekd.verify`` bear the name of their verb. Python binds a package
    to its parent when it is imported; here the verb keeps the name.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            msg = f"module 'edgekd' has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(_HOMES[name]), name)

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Edgekd
