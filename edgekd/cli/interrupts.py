"""Ctrl-C and SIGTERM: an exception that reaches the command line wherever the signal comes."""

import signal
import weakref
from types import FrameType, TracebackType
from typing import Self

ASK_AGAIN_S = 0.01


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM; no KeyboardInterrupt, which typer turns into an exit without a word."""

    def __init__(self, number: int) -> None:
        self.number = number


class Interrupts:
    """While it is entered, the first signal raises :class:`Interrupted`; a second one ends the process.

    Where Python cleans up after objects that are gone, it drops every exception, and the cleaning stays half
    done; torch's exporter is often there. A signal that comes then waits until that is over. An exception
    that other code makes of an interrupt leaves as that interrupt.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._receive)
        signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._number is not None and isinstance(error, Exception):
            raise Interrupted(self._number) from error

    def _receive(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who asks twice does not want to wait
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._number = number
        self._stop(frame)

    def _stop(self, frame: FrameType | None) -> None:
        assert self._number is not None
        if _drops_exceptions(frame):
            signal.signal(signal.SIGALRM, lambda _, later: self._stop(later))
            signal.setitimer(signal.ITIMER_REAL, ASK_AGAIN_S)
            return
        raise Interrupted(self._number)


def _drops_exceptions(frame: FrameType | None) -> bool:
    """Whether a finalizer or a callback of a weak reference is running."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False
