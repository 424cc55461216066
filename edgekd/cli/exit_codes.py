"""What an exit code of ``edgekd`` means."""

import signal

OK, BUG, USER_ERROR, NOT_FAITHFUL = 0, 1, 2, 3
INCONCLUSIVE = 4  # an interval reaches across a limit
STOPPED = 128  # and the number of the signal: 130 after Ctrl-C, 143 after SIGTERM
CLOSED_PIPE = STOPPED + signal.SIGPIPE
