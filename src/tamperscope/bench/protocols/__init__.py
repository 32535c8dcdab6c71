"""Named protocols: everything that turns a map into a number, in one object each.

Numbers of two protocols do not compare; ``bench.explain`` shows how one result moves across them.
"""

from types import MappingProxyType

from tamperscope.bench.protocols.base import Number, Prediction, Protocol, Row
from tamperscope.bench.protocols.catnet import CATNET
from tamperscope.bench.protocols.dolos import DOLOS
from tamperscope.bench.protocols.focal import FOCAL
from tamperscope.bench.protocols.imdlbenco import IMDLBENCO
from tamperscope.bench.protocols.mvss import MVSS
from tamperscope.bench.protocols.ours import OURS
from tamperscope.bench.protocols.trufor import TRUFOR
from tamperscope.errors import unknown

_ALL = (OURS, FOCAL, DOLOS, TRUFOR, MVSS, CATNET, IMDLBENCO)
PROTOCOLS: MappingProxyType[str, Protocol] = MappingProxyType({p.name: p for p in _ALL})

__all__ = [
    "CATNET",
    "DOLOS",
    "FOCAL",
    "IMDLBENCO",
    "MVSS",
    "OURS",
    "PROTOCOLS",
    "TRUFOR",
    "Number",
    "Prediction",
    "Protocol",
    "Row",
    "get",
]


def get(name: str) -> Protocol:
    """The protocol of that name; UnknownNameError otherwise."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
