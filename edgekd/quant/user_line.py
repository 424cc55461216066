"""Which line of the user's network is meant."""

import linecache
import sys


def _is_own(filename: str) -> bool:
    return "/torch/" in filename or "/edgekd/quant/" in filename


def user_line() -> str:
    """Return file, number and text of the line of the user's code that is running."""
    frame = sys._getframe(1)
    while frame is not None and _is_own(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return ""
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{number}: {linecache.getline(name, number).strip()}"


def line_of(error: BaseException) -> str:
    """Return file, number and text of the last line of the user's code that an error passed."""
    found, trace_ = "", error.__traceback__
    while trace_ is not None:
        name = trace_.tb_frame.f_code.co_filename
        if not _is_own(name) or not found:
            found = f"{name}:{trace_.tb_lineno}: {linecache.getline(name, trace_.tb_lineno).strip()}"
        trace_ = trace_.tb_next
    return found
