"""Text that may come from anywhere: a board, a report, a model file."""

import re


def without_password(text: str) -> str:
    """Return text with dots for the passwords of its addresses.

    Example:
        >>> without_password("storage=postgresql://me:secret@host/studies")
        'storage=postgresql://me:...@host/studies'
    """
    return re.sub(r"(password=)[^&\s]*", r"\1...", re.sub(r"(://[^:/@\s]*):.*@", r"\1:...@", text))


def printable(text: str) -> str:
    r"""Return text with ``?`` for every sign that a terminal may obey, line ends among them.

    Example:
        >>> printable("conv\n\x1b[31m")
        'conv??[31m'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text)
