"""The only door through which optional packages come in."""

import importlib
from types import ModuleType

from edgekd.errors import RuntimeMissing


def require(module: str, *, package: str, extra: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Args:
        module: Dotted name to import, e.g. ``"sklearn.datasets"``.
        package: The name pip knows it by, e.g. ``"scikit-learn"``.
        extra: The extra of edgekd that brings it, e.g. ``"train"``.

    Returns:
        The imported module.

    Raises:
        RuntimeMissing: If it is not installed, the message holds the pip line; or if it was built for another
            version of what it stands on.

    Example:
        >>> require("json", package="json", extra="train").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise missing(module, e, package=package, extra=extra) from e
    except RuntimeError as e:
        what = f"{package} fails when it is imported: {e}"
        fix = "install builds that belong together: all for the CPU, or all for one version of CUDA"
        raise RuntimeMissing(what, where=module, fix=fix) from e


def missing(module: str, error: Exception, *, package: str, extra: str) -> RuntimeMissing:
    """Return what to raise when a package is not there; arguments as in :func:`require`."""
    what = f"{package} cannot be imported: {error}"
    return RuntimeMissing(what, where=module, fix=f"pip install 'edgekd[{extra}]'")
