"""The ``quantize`` section, and the student that it describes as an artifact."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator
from safetensors.torch import load_file, save_file
from torch import fx

from edgekd.core.artifact import Artifact
from edgekd.core.profile import PROFILES, ProfileName
from edgekd.core.spec_base import Spec, json_digest
from edgekd.data.dataset import DataInfo, DataSpec
from edgekd.data.manifest import load_calibration, read_manifest
from edgekd.data.paths import expand_data_path
from edgekd.errors import SpecError
from edgekd.quant.calibrate import CALIBRATION_METHODS, CalibrationMethod
from edgekd.quant.prepare import prepare
from edgekd.quant.quantizer import QuantizerSpec, Use
from edgekd.quant.scheme import QuantScheme
from edgekd.zoo.student import StudentArch, StudentSpec, student_network
from edgekd.zoo.weights import storable

WEIGHTS = "weights.safetensors"


CALIBRATION_SAMPLES = 256


class CalibrationSpec(Spec):
    """Where scales start: post-training quantization.

    Attributes:
        manifest: A file that names the calibration samples and their hashes; without it, ``samples`` rows of
            the training split are drawn with a fixed seed.
        samples: How many are drawn without a manifest. The default takes all of a smaller split; any other
            number has to be there.
        methods: Tried in this order; the one whose logits are nearest to the float student's wins. No labels
            are read. A student that starts from random weights has no such logits and takes the last.
    """

    manifest: str | None = None
    samples: int = Field(default=CALIBRATION_SAMPLES, ge=1)
    methods: tuple[CalibrationMethod, ...] = Field(default=CALIBRATION_METHODS, min_length=1)

    @field_validator("manifest")
    @classmethod
    def _beside_the_file(cls, manifest: str | None, info: ValidationInfo) -> str | None:
        """A relative path is relative to the pipeline file that names it."""
        if manifest is None or info.context is None:
            return manifest
        return str(info.context["folder"] / expand_data_path(manifest))

    @property
    def manifest_path(self) -> Path | None:
        """Where the manifest is."""
        return None if self.manifest is None else expand_data_path(self.manifest)

    @property
    def digest(self) -> str:
        """Hex sha256 in which the manifest counts with its contents."""
        fields = self.model_dump(mode="json")
        if self.manifest_path is not None:
            fields["manifest"] = read_manifest(self.manifest_path).sha256
        return json_digest(fields)

    def images(self, data: DataSpec) -> NDArray[np.uint8]:
        """Return the calibration images (n, height, width, channels)."""
        if self.manifest_path is not None:
            return load_calibration(self.manifest_path, data)
        train = data.split("train").images
        self.check_samples(len(train))
        rows = np.random.default_rng(0).permutation(len(train))[: self.samples]
        return train[np.sort(rows)]

    def check_samples(self, train_rows: int) -> None:
        """Refuse to draw more samples than there are.

        Raises:
            SpecError: With the number that there are.
        """
        if self.manifest is None and self.samples > train_rows and self.samples != CALIBRATION_SAMPLES:
            what = f"quantize.calibration.samples is {self.samples}: the train split has {train_rows} images"
            fix = f"set it to 1..{train_rows}"
            raise SpecError(what, where="quantize.calibration.samples", fix=fix)


class QuantizeSpec(Spec):
    """Grids and bits.

    Attributes:
        profile: What the target's integer kernels can represent.
        weights: Weight quantizers and bits.
        activations: Activation quantizers and bits.
        first_layer_bits: Weight bits of the layers that read the input.
        last_layer_bits: Weight bits of the layers that make the outputs: every head.
        residual_bits: Activation bits of what residual additions read and make.
        calibration: Where scales start.
    """

    profile: ProfileName = "ort"
    weights: QuantizerSpec
    activations: QuantizerSpec
    first_layer_bits: int = Field(default=8, ge=2, le=8)
    last_layer_bits: int = Field(default=8, ge=2, le=8)
    residual_bits: int = Field(default=8, ge=2, le=8)
    calibration: CalibrationSpec = CalibrationSpec()

    @field_validator("weights", "activations")
    @classmethod
    def _fits_its_use(cls, spec: QuantizerSpec, info: ValidationInfo) -> QuantizerSpec:
        use: Use = "weights" if info.field_name == "weights" else "activations"
        if reason := spec.misuse(use):
            raise ValueError(reason)
        return spec

    @property
    def scheme(self) -> QuantScheme:
        """What placement needs to know."""
        return QuantScheme(
            weights=self.weights,
            activations=self.activations,
            first_layer_bits=self.first_layer_bits,
            last_layer_bits=self.last_layer_bits,
            residual_bits=self.residual_bits,
        )

    @property
    def digest(self) -> str:
        """Hex sha256 in which the profile counts with its version: another meaning is another training."""
        return json_digest([super().digest, PROFILES[self.profile].version])


class QuantStudent(Artifact):
    """A student with quantizers: weights and scales."""


def fresh_student(
    spec: StudentSpec, arch: StudentArch, quantize: QuantizeSpec, info: DataInfo
) -> fx.GraphModule:
    """Build the prepared student of a pipeline, with random weights and uncalibrated scales."""
    example = torch.zeros((2, info.height, info.width, info.channels), dtype=torch.uint8)
    return prepare(student_network(spec, arch, info), example, quantize.profile, scheme=quantize.scheme)


def load_student(
    student: QuantStudent, spec: StudentSpec, arch: StudentArch, quantize: QuantizeSpec, info: DataInfo
) -> fx.GraphModule:
    """Build the prepared student and load its weights and scales."""
    network = fresh_student(spec, arch, quantize, info)
    network.load_state_dict(load_file(student.path(WEIGHTS)))
    return network


def save_student(folder: Path, student: fx.GraphModule) -> None:
    """Write the weights and scales of a prepared student."""
    save_file(storable(student.state_dict()), folder / WEIGHTS)
