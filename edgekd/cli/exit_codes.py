"""What an exit code of ``edgekd`` means."""

import signal

OK, BUG, USER_ERROR = 0, 1, 2
FAILED = 3  # the engine is not what was trained, or misses a gate
INCONCLUSIVE = 4  # an interval reaches across a limit
STOPPED = 128  # and the number of the signal: 130 after Ctrl-C, 143 after SIGTERM
CLOSED_PIPE = STOPPED + signal.SIGPIPE
