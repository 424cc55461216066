"""Text that may come from anywhere: a board, a report, a model file."""


def printable(text: str) -> str:
    r"""Return text with ``?`` for every sign that a terminal may obey, line ends among them.

    Example:
        >>> printable("conv\n\x1b[31m")
        'conv??[31m'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text)
