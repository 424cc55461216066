"""What fake quantization costs a training step that distils, taken as edgekd's own loop takes it.

A step is the frozen teacher's forward pass and the student's forward pass, loss, backward and optimizer step.
Float, edgekd's fake quantization (LSQ) and, with ``--against``, that of other libraries: the same network,
teacher, loss and optimizer on the same random uint8 images of 3x32x32, each eager and compiled, in
interleaved rounds of one run. Students compute in float32; ``--precision`` is the teacher's. What a library
cannot compile is in the row with its reason.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

import edgekd
from benchmarks.qat_rivals import brevitas_student, require_rival, torchao_student
from benchmarks.rows import append_row, percentiles
from edgekd.board.rounds import Design
from edgekd.board.visits import Opener
from edgekd.core.profile import PROFILES
from edgekd.core.schedule import Schedule
from edgekd.core.statistics import paired_ratio
from edgekd.device.latency import LatencySamples, measure_here
from edgekd.distill.hinton import HintonSpec
from edgekd.distill.qat import QatSpec
from edgekd.errors import TrainError
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.quantizer import Quantizer
from edgekd.quant.scheme import QuantScheme
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train.learner import Learner
from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss
from edgekd.train.teaching import FrozenTeacher
from edgekd.zoo.mobilenet_v2 import MobileNetV2Spec
from edgekd.zoo.network import NetworkSpec
from edgekd.zoo.pixels import ImageNetwork, PixelGrid
from edgekd.zoo.resnet_cifar import ResNetCifarSpec

NETWORKS: dict[str, NetworkSpec] = {
    "resnet20": ResNetCifarSpec(depth=20),
    "mobilenet": MobileNetV2Spec(width=0.5, stem="small"),
}
MODES = ("eager", "compiled")
RATE = 1e-4
SCHEDULE = Schedule(epochs=1, learning_rate=RATE)


Make = Callable[[nn.Module, Tensor, int], tuple[nn.Module, int]]
"""Turns a float network, some images and a number of bits into a student, and counts its quantizers."""


def _float_student(network: nn.Module, images: Tensor, bits: int) -> tuple[nn.Module, int]:
    return network.train(), 0


def _edgekd_student(network: nn.Module, images: Tensor, bits: int) -> tuple[nn.Module, int]:
    scheme = QuantScheme(weights=LsqSpec(bits=bits), activations=LsqSpec(bits=bits))
    student = edgekd.prepare(network, images[:2], scheme=scheme)
    edgekd.calibrate(student, [images[:64]], method="minmax")
    return student, sum(isinstance(module, Quantizer) for module in student.modules())


OWN: dict[str, Make] = {"float": _float_student, "fake_quant": _edgekd_student}
RIVALS: dict[str, Make] = {"brevitas": brevitas_student, "torchao": torchao_student}


class Variant(NamedTuple):
    """A library in a mode.

    Attributes:
        library: A key of ``OWN`` or ``RIVALS``.
        mode: One of ``MODES``.
        step: Takes one training step.
        quantizers: Number of tensors that the student quantizes.
        first_seconds: Of the first step, which compiles.
        failed: Why it takes no step; empty if it does.
    """

    library: str
    mode: str
    step: Callable[[], None]
    quantizers: int
    first_seconds: float
    failed: str

    @property
    def name(self) -> str:
        """Its name in the row."""
        return f"{self.library}_{self.mode}"


def main() -> None:
    arguments = _arguments()
    for name in arguments.against:
        require_rival(name, name)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    variants = list(_variants(arguments))
    samples = measure_here(
        {found.name: _opener(found.step) for found in variants if not found.failed},
        design=Design(sessions=1, rounds=arguments.rounds, round_ms=1000, warmup_ms=300),
        on_round=lambda done, total: print(f"{done}/{total}", flush=True),
    )
    append_row(
        "train_step",
        {
            "network": NETWORKS[arguments.network].title,
            "teacher": f"resnet{arguments.teacher_depth}" if arguments.teacher_depth else "none",
            "teacher_precision": arguments.precision,
            "batch_size": arguments.batch_size,
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "bits": arguments.bits,
            "profile": "ort",
            "profile_version": PROFILES["ort"].version,
            "rivals": {name: version(name) for name in arguments.against},
            "quantizers": {found.library: found.quantizers for found in variants},
            "variants": {name: percentiles(found.times_ms) for name, found in samples.items()},
            "fake_over_float": {
                mode: _ratio(samples[f"fake_quant_{mode}"], samples[f"float_{mode}"]) for mode in MODES
            },
            "rival_over_edgekd": {name: _rivalry(samples, name) for name in arguments.against},
            "failed": {found.name: found.failed for found in variants if found.failed},
            "compile_seconds": {
                found.name: round(found.first_seconds, 1) for found in variants if found.mode == "compiled"
            },
        },
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=sorted(NETWORKS), default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--bits", type=int, default=4, help="of weights and activations")
    parser.add_argument("--teacher-depth", type=int, default=56, help="ResNet-N that teaches; 0: labels only")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of the teacher")
    parser.add_argument("--against", nargs="+", choices=sorted(RIVALS), default=[])
    return parser.parse_args()


def _variants(arguments: argparse.Namespace) -> Iterator[Variant]:
    images = torch.randint(256, (arguments.batch_size, 32, 32, 3), dtype=torch.uint8)
    y = torch.randint(10, (arguments.batch_size,))
    teachers = {mode: _teacher(arguments, compiled=mode == "compiled") for mode in MODES}
    for library, make in {**OWN, **{name: RIVALS[name] for name in arguments.against}}.items():
        for mode in MODES:
            network = _image_network(NETWORKS[arguments.network])
            student, quantizers = make(network, images, arguments.bits)
            step = _step(student, teachers[mode], images, y, compiled=mode == "compiled")
            start = time.perf_counter()
            failed = _failure(step)
            found = Variant(library, mode, step, quantizers, time.perf_counter() - start, failed)
            if failed and library in OWN:
                raise TrainError(failed, where=found.name)
            print(f"{found.name}: {found.first_seconds:.1f} s {failed}", flush=True)
            yield found


def _failure(step: Callable[[], None]) -> str:
    """Take a step, and return why it failed, as a foreign student may when it is compiled; empty if not."""
    try:
        step()
    except Exception as e:  # whatever a compiler makes of it
        return f"{type(e).__name__}: {str(e).splitlines()[0]}"
    return ""


def _teacher(arguments: argparse.Namespace, *, compiled: bool) -> FrozenTeacher | None:
    if not arguments.teacher_depth:
        return None
    network = _image_network(ResNetCifarSpec(depth=arguments.teacher_depth))
    options = TrainSpec(precision=arguments.precision)
    return FrozenTeacher(network, _fabric(), options, compiled=compiled)


def _image_network(spec: NetworkSpec) -> ImageNetwork:
    return ImageNetwork(PixelGrid.like(), spec.build(channels=3, classes=10, size=(32, 32)))


def _fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def _step(
    network: nn.Module, teacher: FrozenTeacher | None, images: Tensor, y: Tensor, *, compiled: bool
) -> Callable[[], None]:
    learner = Learner(network, _fabric(), TrainSpec(), compiled=compiled)
    method = QatSpec(schedule=SCHEDULE) if teacher is None else HintonSpec(schedule=SCHEDULE)
    loss: KdLoss = method.phases(ClassificationSpec())[0].loss

    def step() -> None:
        logits_s, logits_t = learner(images), None
        if teacher is not None:
            logits_t, _ = teacher.teach(images, logits_s.detach(), y, RATE)
        learner.learn(loss(logits_s, logits_t, y), RATE)

    return step


def _rivalry(samples: Mapping[str, LatencySamples], name: str) -> dict[str, Any]:
    """Compare a rival's best mode with edgekd's."""
    best, own = _best(samples, name), _best(samples, "fake_quant")
    return {"variants": [best.name, own.name], **_ratio(best, own)}


def _best(samples: Mapping[str, LatencySamples], library: str) -> LatencySamples:
    ran = [samples[name] for name in (f"{library}_{mode}" for mode in MODES) if name in samples]
    return min(ran, key=lambda found: found.p50_ms)


def _ratio(subject: LatencySamples, reference: LatencySamples) -> dict[str, Any]:
    """Return the ratio of p50s with its interval over the rounds."""
    found = paired_ratio(_by_round(subject), _by_round(reference))
    return {"ratio": round(found.ratio, 4), "ci": [round(found.low, 4), round(found.high, 4)]}


def _by_round(samples: LatencySamples) -> NDArray[np.float64]:
    """Return the times of the only session as if each round were one."""
    times_ms: NDArray[np.float64] = samples.times_ms[0]
    return times_ms[:, None]


def _opener(step: Callable[[], None]) -> Opener:
    return lambda: nullcontext(step)


if __name__ == "__main__":
    main()
