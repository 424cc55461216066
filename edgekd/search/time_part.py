"""The stage ``time_part``: how long one quantized part of a network takes on a device.

A part is timed by difference: several copies of it against one, interleaved in one measurement, so that what
every inference costs, and quantizing what the part reads, cancel. Copies that fit their own output run one
after the other; others run side by side on one input, and of what each makes one pixel is joined to the rest.
What cancelled is kept for the part that reads the image: its copy alone minus its share is what an inference
of any network costs beside its parts. A network that is its own only part is timed as it is, and longer.

Lookup tables of blocks are how Wu et al. 2019 (FBNet, arXiv:1812.03443, sec. 3.3) and Cai et al. 2019
(ProxylessNAS, arXiv:1812.00332, sec. 3.3) predict latency; they time blocks inside of whole networks.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, fx, nn

from edgekd.board.rounds import STANDARD, Design
from edgekd.core.artifact import Artifact, stage
from edgekd.core.atomic import write_json
from edgekd.core.spec_base import Spec
from edgekd.device.latency import LatencySamples
from edgekd.device.place import Place
from edgekd.errors import DeviceError
from edgekd.export.export import export
from edgekd.export.onnx_file import INPUT_NAME
from edgekd.quant.calibrate import calibrate
from edgekd.quant.prepare import prepare
from edgekd.quant.student import QuantizeSpec
from edgekd.runtimes.external_data import file_bytes
from edgekd.runtimes.target import BuiltModel, TargetSpec
from edgekd.zoo.part import Part
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

COPIES = 4

QUICK = Design(sessions=4, rounds=10, round_ms=3.0, warmup_ms=30.0)
"""For a difference of two engines: one of COPIES - 1 parts."""


class PartCost(Spec):
    """What one part costs.

    Attributes:
        p50_ms: Of the part alone, by difference; of a whole network its median.
        p90_ms: Of a whole network; None of a part.
        rest_ms: What an inference with one copy takes beside it.
        size_bytes: Of the part in the engine's file, by difference, and
        rest_bytes: of the file beside it.
        macs: Multiply-accumulates of the part.
    """

    p50_ms: float
    p90_ms: float | None
    rest_ms: float
    size_bytes: int
    rest_bytes: int
    macs: int


class PartTime(Artifact):
    """A row of the latency table."""

    def cost(self) -> PartCost:
        """Return what was measured."""
        return PartCost.model_validate(self.read_json("cost.json"))


class Copies(nn.Module):
    """Copies of a part with weights of their own, in a row where that fits, else side by side.

    Args:
        part: What is copied.
        number: How many copies.
        in_a_row: Whether each reads what the one before makes.
    """

    def __init__(self, part: Part, number: int, *, in_a_row: bool) -> None:
        super().__init__()
        self.copies = nn.ModuleList(part.build() for _ in range(number))
        self.in_a_row, self.makes_logits = in_a_row, part.makes_logits

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, height, width) to (n, features)."""
        if self.in_a_row:
            for copy in self.copies:
                x = copy(x)
            return x[:, :, :1, :1].flatten(1)
        made = [copy(x) for copy in self.copies]
        if not self.makes_logits:
            made = [y[:, :, :1, :1].flatten(1) for y in made]
        return torch.cat(made, 1) if len(made) > 1 else made[0]


@stage(PartTime, version=1)
def time_part(
    folder: Path,
    part: Part,
    quantize: QuantizeSpec,
    target: TargetSpec,
    place: Place,
    identity: dict[str, str],
) -> None:
    """Time a part, with weights at random, on the device that ``identity`` says.

    Args:
        folder: Gets ``cost.json``.
        part: What is timed.
        quantize: Bits and profile; where scales start does not matter.
        target: The runtime.
        place: The device.
        identity: What the times belong to, beside the place's own: it is part of the stage's key.
    """
    copies = {f"{number} x {part.title}": number for number in ((1,) if part.whole else (1, COPIES))}
    inputs = _inputs(part, samples=max(2, target.batch))
    with TemporaryDirectory(prefix="edgekd-") as scratch, place.device.connect() as device:
        place.check(target, device)
        if not device.times:
            what = "a search measures latency, which means nothing on an emulated CPU"
            raise DeviceError(what, where=place.device.name, fix="name the board itself for the first target")
        models = {}
        for name, number in copies.items():
            at = Path(scratch) / str(number)
            lowered = export(_student(part, number, inputs, quantize), inputs, at, target=target)
            engine = at / f"engine{target.engine_suffix}"
            target.build(lowered, engine, host=device.host)
            models[name] = BuiltModel(target, engine, device.host, source=lowered)
        feeds = {name: {INPUT_NAME: inputs[: target.batch or 1].numpy()} for name in models}
        found = device.measure(models, feeds, seed=0, design=STANDARD if part.whole else QUICK)
        sizes = [file_bytes(model.path) for model in models.values()]
    samples = [found.samples[name] for name in models]
    write_json(folder / "cost.json", _cost(part, samples, sizes).model_dump(mode="json"))


def _inputs(part: Part, *, samples: int) -> Tensor:
    """Return inputs at random: pixels, or what the part before makes, by and large."""
    rng = np.random.default_rng(0)
    if part.reads_pixels:
        pixels = rng.integers(0, 256, (samples, part.height, part.width, part.channels), dtype=np.uint8)
        return torch.tensor(pixels)
    return torch.tensor(rng.random((samples, part.channels, part.height, part.width), dtype=np.float32))


def _student(part: Part, number: int, inputs: Tensor, quantize: QuantizeSpec) -> fx.GraphModule:
    """Return calibrated copies, with the bits that the part has in the middle of a network or at its ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = Copies(part, number, in_a_row=not part.whole and _fits_itself(part))
    if part.reads_pixels:
        network = ImageNetwork(PixelGrid.like(), network)
    inner = quantize.weights.bits
    ends = {
        "first_layer_bits": quantize.first_layer_bits if part.reads_pixels else inner,
        "last_layer_bits": quantize.last_layer_bits if part.makes_logits else inner,
    }
    scheme = quantize.model_copy(update=ends).scheme
    student = prepare(network.eval(), inputs, quantize.profile, scheme=scheme)
    calibrate(student, [inputs], "minmax")
    return student


@torch.no_grad()
def _fits_itself(part: Part) -> bool:
    shape = (1, part.channels, part.height, part.width)
    made: Tensor = part.build().eval()(torch.zeros(shape))
    return made.shape == shape


def _cost(part: Part, samples: list[LatencySamples], sizes: list[int]) -> PartCost:
    """Return what the copies, or the whole network alone, say of one."""
    one = samples[0]
    macs = part.macs()
    if len(samples) == 1:
        return PartCost(
            p50_ms=one.p50_ms,
            p90_ms=one.p90_ms,
            rest_ms=0.0,
            size_bytes=sizes[0],
            rest_bytes=0,
            macs=macs,
        )
    one_ms = one.round_p50_ms
    copy_ms = max(0.0, float(np.median(samples[1].round_p50_ms - one_ms)) / (COPIES - 1))
    size_bytes = (sizes[1] - sizes[0]) // (COPIES - 1)
    return PartCost(
        p50_ms=copy_ms,
        p90_ms=None,
        rest_ms=float(np.median(one_ms)) - copy_ms,
        size_bytes=size_bytes,
        rest_bytes=sizes[0] - size_bytes,
        macs=macs,
    )
