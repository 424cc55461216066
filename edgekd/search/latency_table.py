"""The latency table of a device: one row per quantized part, timed when it is first asked for.

A row is an artifact of the store, keyed by the part, the bits, the runtime and the device: every search and
pipeline on the machine reads the same ones.
"""

from dataclasses import dataclass, field

from edgekd.core.store import Runner
from edgekd.data.dataset import DataInfo
from edgekd.device.place import Place
from edgekd.quant.student import CalibrationSpec, QuantizeSpec
from edgekd.runtimes.target import TargetSpec
from edgekd.search.limits import Cost
from edgekd.search.time_part import PartCost, time_part
from edgekd.zoo.network import NetworkPart, NetworkSpec
from edgekd.zoo.part import Part


@dataclass
class LatencyTable:
    """What networks cost on a device, predicted from their parts.

    Attributes:
        quantize: Bits and profile.
        target: The runtime.
        place: The device.
        info: Images and classes.
        run: Where rows are kept.
    """

    quantize: QuantizeSpec
    target: TargetSpec
    place: Place
    info: DataInfo
    run: Runner
    _rows: dict[str, PartCost] = field(default_factory=dict)

    def predict(self, network: NetworkSpec) -> Cost:
        """Return what a network costs: the sum of its parts, and what an inference costs beside them."""
        parts = parts_of(network, self.info)
        rows = [self.row(part) for part in parts]
        rest = next(row for row, part in zip(rows, parts, strict=True) if part.reads_pixels)
        return Cost(
            p50_ms=rest.rest_ms + sum(row.p50_ms for row in rows),
            p90_ms=None,
            size_bytes=rest.rest_bytes + sum(row.size_bytes for row in rows),
            macs=sum(row.macs for row in rows),
        )

    def adds_up(self, network: NetworkSpec) -> bool:
        """Whether a network's latency is predicted from those of several parts."""
        return len(parts_of(network, self.info)) > 1

    def measure(self, network: NetworkSpec) -> Cost:
        """Return what a network costs, measured as a whole."""
        info = self.info
        whole = NetworkPart(
            channels=info.channels,
            height=info.height,
            width=info.width,
            network=network,
            classes=len(info.class_names),
        )
        row = self.row(whole)
        return Cost(p50_ms=row.p50_ms, p90_ms=row.p90_ms, size_bytes=row.size_bytes, macs=row.macs)

    def row(self, part: Part) -> PartCost:
        """Return what a part costs, timing it if no search has done so here."""
        if part.digest not in self._rows:
            made = self.run.run(time_part, part, self._bits, self.target, self.place, identity_of(self.place))
            self._rows[part.digest] = made.cost()
        return self._rows[part.digest]

    @property
    def _bits(self) -> QuantizeSpec:
        return self.quantize.model_copy(update={"calibration": CalibrationSpec()})


def parts_of(network: NetworkSpec, info: DataInfo) -> tuple[Part, ...]:
    """Return the parts of a network for the images and classes of a data set."""
    size, classes = (info.height, info.width), len(info.class_names)
    return network.parts(channels=info.channels, classes=classes, size=size)


def identity_of(place: Place) -> dict[str, str]:
    """Return what times on a device belong to."""
    machine = place.machine
    return {"device": place.device.name, "cpu": machine.cpu, "cores": str(machine.cores), "gpu": place.gpu}
