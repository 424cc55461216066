"""Every error that edgekd raises for a reason outside its own code.

Each says what went wrong, where, and how to fix it::

    EdgeKdError
    ├── SpecError        a pipeline file or an override of it
    ├── SchemeError      a quantization scheme that cannot be represented
    ├── DataError        a data set, its files or its labels
    ├── TrainError       training diverged or cannot start
    ├── ExportError      a network that cannot be traced or exported
    ├── LowerError       a marked graph that a target's dialect cannot express
    ├── BuildError       an engine that a runtime refuses to build
    ├── DeviceError      a device that cannot be reached, or fails at what it is asked for
    ├── RuntimeMissing   an optional package is not installed
    └── StoreError       the artifact store cannot be read or written
"""


class EdgeKdError(Exception):
    """Base of all user-facing errors.

    Args:
        what: What went wrong, in one sentence that names the value.
        where: File, key, line or module that it concerns; empty if there is none.
        fix: What the user can do about it; empty if nothing is known.

    Example:
        >>> print(SpecError("unknown key 'epoch'", where="a.yaml: teacher.train", fix="use 'epochs'"))
        unknown key 'epoch'
          where: a.yaml: teacher.train
          fix:   use 'epochs'
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class SpecError(EdgeKdError):
    """A pipeline file, or an override of it, is not valid."""


class SchemeError(EdgeKdError):
    """A quantization scheme cannot be represented by the profile or target."""


class DataError(EdgeKdError):
    """A data set is missing, damaged or does not fit its labels."""


class TrainError(EdgeKdError):
    """Training cannot start or has diverged."""


class ExportError(EdgeKdError):
    """A network cannot be traced or exported."""


class LowerError(EdgeKdError):
    """A marked graph cannot be expressed in a target's dialect."""


class BuildError(EdgeKdError):
    """A runtime refuses to build an engine from a lowered graph."""


class DeviceError(EdgeKdError):
    """A device cannot be reached, or fails at what it is asked for.

    Attributes:
        kind: Name of the exception there; empty if it was none.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", kind: str = "") -> None:
        self.kind = kind
        super().__init__(what, where=where, fix=fix)


class RuntimeMissing(EdgeKdError):  # noqa: N818  the name says the state, as in FileNotFound
    """An optional package that this step needs is not installed."""


class StoreError(EdgeKdError):
    """The artifact store cannot be read or written."""
