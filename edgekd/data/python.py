"""Images and labels from a Python function of the user's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from edgekd.core.spec_base import json_digest
from edgekd.core.user_code import UserFunction
from edgekd.data.dataset import SPLITS, ColorOrder, DataInfo, Split, SplitName
from edgekd.data.fingerprint import DataFile, content_digest
from edgekd.data.own_data import OwnDataSpec, checked_images, checked_labels
from edgekd.errors import DataError


class PythonDataSpec(OwnDataSpec):
    """A function of yours: ``load(split="train", **options)`` returns images and labels.

    Images are uint8 (n, height, width, channels); labels are class indices (n,), or floats (n, outputs) for a
    task of your own. The function is called for ``train``, ``validation`` and ``test``; where it returns None
    the split is taken out of train.

    Attributes:
        code: The function.
        height: Height of its images in pixels. What the images are is said here, since a plan is made
            without running your code.
        width: Width of its images in pixels.
        color_order: Meaning of their channels.
        class_names: One per class, or per output.
        files: Files that the function reads: their contents count, so that a change is noticed. Relative to
            the pipeline file.
    """

    kind: Literal["python"] = "python"
    code: UserFunction
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    color_order: ColorOrder = "RGB"
    class_names: tuple[str, ...] = Field(min_length=1)
    files: tuple[str, ...] = ()

    @field_validator("files")
    @classmethod
    def _from_the_pipeline_file(cls, files: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        folder = (info.context or {}).get("folder", Path())
        return tuple(str(folder / file) for file in files)

    @property
    def digest(self) -> str:
        """Hex sha256 of the call, its sources and ``files``; what the function reads besides is not seen."""
        fields = self.model_dump(mode="json", exclude={"code", "files", "memory_bytes"})
        files = tuple(DataFile.at(Path(file), str(index)) for index, file in enumerate(self.files))
        return json_digest({"spec": fields, "code": self.code.digest, "files": content_digest(files)})

    def info(self) -> DataInfo:
        """Describe the images as the pipeline file does."""
        channels = 3 if self.color_order == "RGB" else 1
        return DataInfo(self.class_names, self.height, self.width, channels, self.color_order, "none")

    def given_splits(self) -> Mapping[SplitName, Split]:
        """Call the function for every split.

        Raises:
            SpecError: If the function is not allowed to run, or fails.
            DataError: If it returns something else.
        """
        results = {name: self.code.call(split=name) for name in SPLITS}
        if results["train"] is None:
            what = f"{self.code.function} returns None for split='train'"
            raise DataError(what, where=self.code.file, fix="return (images, labels)")
        return {name: self._split(name, found) for name, found in results.items() if found is not None}

    def _split(self, name: SplitName, found: Any) -> Split:
        where = f"{self.code.file}: {self.code.function}(split={name!r})"
        try:
            images, labels = map(np.asarray, found)
        except (TypeError, ValueError) as e:
            what = f"returns {type(found).__name__}, not two arrays: {e}"
            raise DataError(what, where=where, fix="return (images, labels)") from e
        pixels = checked_images(images, where=where)
        info = self.info()
        shape = (info.height, info.width, info.channels)
        if pixels.shape[1:] != shape:
            what = f"returns images of shape {pixels.shape[1:]}, the pipeline file says {shape}"
            raise DataError(what, where=where, fix="set data.height, data.width and data.color_order to that")
        return Split(pixels.copy(), checked_labels(labels, pixels, where=where))
