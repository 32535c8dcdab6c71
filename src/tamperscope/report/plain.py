"""Text that is safe to show. Imports nothing, so that the command line can start with it."""

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Text that is safe on a terminal and in UTF-8: control and undecodable characters escaped.

    File names may hold anything, terminal commands included.

    >>> print(printable("a\x1b[2Jb.jpg"))
    a\x1b[2Jb.jpg
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
