"""The gates ``size`` and ``download``: bytes of the engine's file, as it is and compressed."""

from collections.abc import Callable, Iterator
from typing import Literal

from pydantic import Field

from edgekd.gate.case import Case
from edgekd.gate.gate import DIGITS, GateSpec
from edgekd.gate.subject import Subject
from edgekd.report.schema import GateResult


class _BytesSpec(GateSpec):
    needs_engine = False
    over_baseline = ("max_growth",)

    max_bytes: int | None = Field(default=None, ge=0)
    max_growth: float | None = Field(default=None, ge=-1)

    def _judge(self, case: Case, measure: Callable[[Subject], int], form: str) -> Iterator[GateResult]:
        found = measure(case.subject)
        if self.max_bytes is not None:
            yield self.decided(case, "max_bytes", found, form, unit="bytes")
        if self.max_growth is not None:
            before = measure(case.against(self.name("max_growth")))
            text = f"{form}: {found:,} B, the baseline {before:,} B"
            growth = round(found / max(1, before) - 1, DIGITS)
            yield self.decided(case, "max_growth", growth, text, unit="fraction")


class SizeSpec(_BytesSpec):
    """Size of the engine's file.

    Attributes:
        max_bytes: Most bytes.
        max_growth: Most growth over the baseline, as a fraction of its size: 0.02 allows 2 % more.
    """

    kind: Literal["size"] = "size"

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the exact number."""
        return self._judge(case, lambda subject: subject.size_bytes(), "the file as it is")


class DownloadSpec(_BytesSpec):
    """Size of the engine's file under zlib at level 9, as a package or a web server sends it.

    Attributes:
        max_bytes: Most bytes.
        max_growth: Most growth over the baseline, as a fraction of its size: 0.02 allows 2 % more.
    """

    kind: Literal["download"] = "download"

    def judge(self, case: Case) -> Iterator[GateResult]:
        """Decide on the exact number."""
        return self._judge(case, lambda subject: subject.download_bytes(), "the file under zlib, level 9")
