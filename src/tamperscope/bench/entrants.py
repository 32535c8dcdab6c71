"""What takes part in a benchmark: methods of the catalogue and references, by their names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tamperscope import catalog
from tamperscope.bench.predictor import Method
from tamperscope.bench.references import REFERENCES
from tamperscope.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A method under the name it has in the tables; loaded when its turn comes."""

    name: str
    load: Callable[[], Method]
    reference: bool = False


def entrants(
    methods: Sequence[str],
    weights: Sequence[str] = (),
    *,
    references: bool = True,
    device: str = "auto",
    precision: str = "auto",
) -> Iterator[Entrant]:
    """Methods in their order, once each, and references after them.

    Args:
        methods: names of methods, with ``:PRESET`` where another than the default is meant, or of
            references.
        weights: ``METHOD=FILE``, a method as in ``methods``.
        references: whether every reference takes part, or only those named.
        device, precision: of the methods.

    Raises:
        UnknownNameError: a method, or weights of one that is not named. ConfigError: weights that
        are no ``METHOD=FILE``.
    """
    files = _files(weights, methods)
    named = list(dict.fromkeys(methods))
    for name in named:
        if name not in REFERENCES:
            method, _, preset = name.partition(":")
            catalog.card(method)
            load = partial(
                catalog.load,
                method,
                preset=preset or None,
                weights=files.get(name),
                device=device,
                precision=precision,
            )
            yield Entrant(name=name, load=load)
    for name in REFERENCES:
        if references or name in named:
            yield Entrant(name=name, load=partial(REFERENCES.__getitem__, name), reference=True)


def _files(words: Sequence[str], methods: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not (name and equals and file):
            raise ConfigError(f"--weights {word!r}: give METHOD=FILE, such as focal=my.safetensors")
        if name not in methods:
            raise unknown("method of --weights", name, methods)
        found[name] = file
    return found
