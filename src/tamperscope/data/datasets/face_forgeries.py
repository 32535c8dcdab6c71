"""Sets of fake faces by name, as pairs of fakes and the real faces they were made from."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tamperscope.data.datasets.celeb_df import load_celeb_df
from tamperscope.data.datasets.dffd import load_dffd
from tamperscope.data.datasets.faceforensics import load_faceforensics
from tamperscope.data.datasets.gan_faces import load_gan_faces
from tamperscope.data.pair import FacePair
from tamperscope.errors import unknown

LOADERS: MappingProxyType[str, Callable[..., list[FacePair]]] = MappingProxyType(
    {
        "gan-faces": load_gan_faces,
        "faceforensics": load_faceforensics,
        "celeb-df": load_celeb_df,
        "dffd": load_dffd,
    }
)
"""Every set of pairs that can be read, by name."""


def load_face_forgeries(name: str, root: str | Path, **options: Any) -> list[FacePair]:
    """The pairs of the set `name` at `root`, real ones first.

    Args:
        name: a key of `LOADERS`.
        options: those of the loader, such as ``split``.

    Raises:
        UnknownNameError: no such set, or no such option of it.
        DataError: no set of its layout, or files that do not pair up.
    """
    if name not in LOADERS:
        raise unknown("set of face forgeries", name, LOADERS)
    loader = LOADERS[name]
    known = list(inspect.signature(loader).parameters)[1:]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return loader(root, **options)
