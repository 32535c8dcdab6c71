"""Names of files in lists and manifests, which anybody may have written."""

import os
from pathlib import Path

from tamperscope.errors import DataError


def below(folder: Path, name: str, *, where: Path) -> Path:
    """The file that a list means by ``name``, which must lie below ``folder``.

    Judged by the name alone: links that the owner of the folder made are followed.

    Args:
        where: the list, for the message.

    Raises:
        DataError: it leads out of the folder.
    """
    root = os.path.abspath(folder)
    found = os.path.abspath(os.path.join(root, name))
    if os.path.commonpath([root, found]) != root or found == root:
        raise DataError(
            f"{where}: {name[:200]!r} is no file below {folder}: name files inside that folder, or "
            "give another one that holds them all (base)"
        )
    return folder / name


def is_there(path: Path) -> bool:
    """Whether there is such a file; names that no file can have are of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
