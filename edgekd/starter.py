"""The verb ``init``: a first pipeline file from a network's name and a look at the data."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, get_args

import torch
import yaml
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from edgekd.advice import SMALL_IMAGE
from edgekd.core.union import members_by_kind
from edgekd.core.user_code import user_code_is_allowed
from edgekd.data.dataset import SPLITS, DataInfo, DataSpec
from edgekd.data.image_folder import ImageFolderSpec
from edgekd.errors import DataError, SpecError
from edgekd.report.words import duration
from edgekd.spec import data_from_text
from edgekd.unions import Data, Network, members
from edgekd.zoo.network import NetworkSpec, build_body
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
LARGEST_FROM_SCRATCH = 64  # pixels: a network without weights has to be trained before a first report
LOOKED_AT = 100
LARGEST_BATCH, CALIBRATION_SAMPLES = 32, 256
IMAGES_TO_TRAIN = 4000  # in all epochs: about a minute on two cores at 64 pixels
EPOCHS = (2, 20)


def starter_file(
    network: str, data: str, *, weights: Mapping[str, Any] | None, command: str, name: str = ""
) -> tuple[str, str, str]:
    """Write a pipeline file for a network and some data.

    Args:
        network: What a pipeline file says of it in text: ``KIND`` or ``KIND:NAME``.
        data: A folder of images or numpy arrays, an .npz file, or what ``--data`` takes elsewhere.
        weights: Fields of the student's weights; None trains it.
        command: What a person types to do this again.
        name: Of the pipeline, whose signs are replaced where a name may not hold them; by default the data's.

    Returns:
        The name of the pipeline, the text of the file, and what it will do, in a sentence or two.

    Raises:
        DataError: If the data is missing, damaged or not what it has to be; every image is decoded.
        SpecError: If there is no such network or data.
    """
    chosen = _network(network)
    pretrained = weights is None and "pretrained" in type(chosen).model_fields
    section = _data_section(data, largest=SIZES[-1] if weights or pretrained else LARGEST_FROM_SCRATCH)
    source: DataSpec = TypeAdapter(Data).validate_python(section)
    info = source.info()
    chosen = _fitting(chosen, info, pretrained=pretrained)
    sizes = {split: len(source.split(split)) for split in SPLITS}
    batch_size = min(LARGEST_BATCH, max(2, sizes["train"] // 8))
    fields = chosen.model_dump(mode="json", exclude_unset=True)
    student: dict[str, Any] = {"kind": "fixed", "network": {"kind": chosen.kind, **fields}}
    origin, time_needed = "The student starts from the given weights and is not trained.", ""
    if weights:
        student["weights"] = dict(weights)
    else:
        epochs = min(max(IMAGES_TO_TRAIN // sizes["train"], EPOCHS[0]), EPOCHS[1])
        student["training"] = {"epochs": epochs, "learning_rate": 0.01 if pretrained else 0.05}
        origin = f"No weights were given: the student is trained in float for {epochs} epochs first."
        if pretrained:
            origin = f"The pretrained student learns your classes first: {epochs} epochs in float."
        time_needed = _time_to_train(chosen, info, images=epochs * sizes["train"], batch_size=batch_size)
    counts = ", ".join(f"{n} {split}" for split, n in sizes.items())
    seen = f"{len(info.class_names)} classes, {counts} images"
    name = _name(name or data)
    text = _TEMPLATE.format(
        name=name,
        command=_comment(command),
        seen=f"{seen}: {_comment(', '.join(info.class_names))}",
        origin=origin,
        data=_yaml({"data": section}),
        student=_yaml({"student": student}),
        batch_size=batch_size,
        samples=min(CALIBRATION_SAMPLES, sizes["train"]),
    )
    return name, text, f"{seen}, {info.height}x{info.width} pixels. {origin}{time_needed}"


def _fitting(network: NetworkSpec, info: DataInfo, *, pretrained: bool) -> NetworkSpec:
    """Return the network with what the data and its weights ask for: the one that is written, and timed."""
    fields: dict[str, Any] = {"pretrained": True} if pretrained else {}
    stem = type(network).model_fields.get("stem")
    if stem is not None and {"small", "imagenet"} <= set(get_args(stem.annotation)):
        fields["stem"] = "small" if min(info.height, info.width) < SMALL_IMAGE else "imagenet"
    return network.model_copy(update=fields)


_TEMPLATE = """\
# {command}
# Run it: edgekd compress FILE. See what would run: edgekd check FILE. Every key: edgekd schema spec.
version: 1
name: {name}
seed: 0

# {seen}
{data}
# {origin}
# Given weights: {{path: model.safetensors, mean: [...], std: [...]}}, both as fractions of 255 per channel.
{student}
training:
  batch_size: {batch_size}
  # augment: {{shift_pixels: 4, flip: true}}  # flip only what may be seen in a mirror

# Scales are calibrated on this many train images; no labels are read.
quantize:
  calibration: {{samples: {samples}}}

# Quantization after training: no teacher, done in a minute. To win back what it costs, add a teacher and
#   distill: {{kind: hinton, schedule: {{epochs: 5, learning_rate: 0.001}}}}
distill: {{kind: none}}

targets:
  - {{kind: onnxruntime, threads: 1}}
"""


def _time_to_train(network: NetworkSpec, info: DataInfo, *, images: int, batch_size: int) -> str:
    """Say how long training takes on the CPU, from one step of it; nothing where that is not known."""
    if torch.cuda.is_available() or (network.kind == "python" and not user_code_is_allowed()):
        return ""
    with torch.random.fork_rng(devices=[]):
        student = ImageNetwork(PixelGrid.like(), build_body(network, info)).train()
        batch = torch.zeros((batch_size, info.height, info.width, info.channels), dtype=torch.uint8)
        for _ in range(2):  # the first one also finds memory
            start = time.perf_counter()
            student(batch).sum().backward()
            seconds = time.perf_counter() - start
    return (
        f" That takes about {duration(seconds * images / batch_size)} on this machine as busy as it is now."
    )


def _data_section(text: str, *, largest: int) -> dict[str, Any]:
    path, kind = Path(text).expanduser(), text.partition(":")[0]
    if not path.exists() and ":" not in text and kind not in members("data"):
        what = f"no such folder or file: {text}"
        fix = f"give one that exists, or KIND:PATH, with KIND one of: {', '.join(members('data'))}"
        raise DataError(what, where="--data", fix=fix)
    if path.suffix in (".yaml", ".yml") or not path.exists():
        source = data_from_text(text)
        return {"kind": source.kind, **source.model_dump(mode="json", exclude_unset=True)}
    place = str(path.resolve())
    if path.suffix == ".npz" or any(path.glob("x_train.npy")):
        return {"kind": "arrays", "path": place}
    if any(path.glob("**/train-*.parquet")):
        return {"kind": "parquet", "path": place}
    folder = ImageFolderSpec(path=place)
    folder.info()
    return {"kind": "image_folder", "path": place, **_look(folder, largest=largest)}


def _look(folder: ImageFolderSpec, *, largest: int) -> dict[str, Any]:
    """Choose size and colours from the headers of some images."""
    files = folder.files()
    sides, modes = [], set()
    for path in files[:: max(1, len(files) // LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
                modes.add(image.mode)
        except Exception as e:  # Pillow's decoders raise OSError, SyntaxError, ValueError and more
            what = f"image cannot be decoded: {e}"
            raise DataError(what, where=str(path), fix="replace the file or take it out") from e
    fitting = [size for size in SIZES if size <= min(median(sides), largest)]
    size = fitting[-1] if fitting else SIZES[0]
    color_order = "L" if modes <= {"1", "L", "LA"} else "RGB"
    return {"height": size, "width": size, "resize": "crop", "color_order": color_order}


def _network(text: str) -> NetworkSpec:
    try:
        found: NetworkSpec = TypeAdapter(Network).validate_python(text, context={"folder": Path.cwd()})
    except ValidationError as e:
        error, *_ = errors = e.errors()
        what = f"{text!r} is no network to compress: {error['msg'].removeprefix('Value error, ')}"
        fix = f"KIND or KIND:NAME, with KIND one of: {', '.join(members_by_kind(Network))}"
        if error["type"] == "missing":
            what = f"{text!r} does not say which network"
            fix = f"it should be {text}:{':'.join(str(one['loc'][-1]).upper() for one in errors)}"
        raise SpecError(what, where="--from", fix=fix) from e
    return found


def _name(data: str) -> str:
    path = Path(data.rpartition(":")[2])
    stem = path.stem if path.suffix == ".npz" else path.resolve().name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "mine"


def _comment(text: str) -> str:
    """Return ``text`` on one line, in printable characters, not too long."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    plain = "".join(sign if sign.isprintable() else "?" for sign in plain)
    return plain if len(plain) <= 90 else f"{plain[:87]}..."


def _yaml(section: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(section), sort_keys=False, allow_unicode=True)
