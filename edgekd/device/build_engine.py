"""The stage ``build_engine``: from a runtime's dialect to what that runtime loads on a device."""

from pathlib import Path

from edgekd.core.artifact import stage
from edgekd.core.atomic import write_text
from edgekd.device.place import Place
from edgekd.runtimes.stages import BUILD_LOG, ENGINE, Engine, TargetOnnx
from edgekd.runtimes.target import TargetSpec


@stage(Engine, version=3)
def build_engine(folder: Path, target: TargetSpec, lowered: TargetOnnx, place: Place) -> None:
    """Build the engine where it will run; it belongs to one runtime version and one kind of machine."""
    with place.device.connect() as connection:
        place.check(target, connection)
        engine = folder / f"{ENGINE}{target.engine_suffix}"
        log = target.build(lowered.model_path, engine, host=connection.host)
    if log:
        write_text(folder / BUILD_LOG, log)
