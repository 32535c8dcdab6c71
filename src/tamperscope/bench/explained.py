"""`bench explain`: how every result of a record moves across its protocols."""

from collections.abc import Iterator, Mapping
from typing import Any

from tamperscope.bench.board import Board
from tamperscope.bench.explain import Explanation, explain_summaries
from tamperscope.bench.protocols import OURS, PROTOCOLS
from tamperscope.errors import DataError, unknown


def explain_record(
    record: Mapping[str, Any], *, method: str | None = None
) -> Iterator[tuple[str, str, Explanation]]:
    """(title, set, explanation) for every method and reference on the unperturbed pictures.

    Args:
        record: of kind ``benchmark``.
        method: only the one of this name.

    Raises:
        UnknownNameError: no method of that name in the record.
        DataError: a record of another kind, without protocol ``ours``, or of protocols that this
        release defines otherwise.
    """
    board = Board(record)
    if OURS.name not in board.protocols:
        raise DataError(
            f"the record has no protocol {OURS.name}, which the others are read against: measure "
            f"again with --protocol {OURS.name} (what is kept is not asked for anew)"
        )
    known = [PROTOCOLS[name] for name in board.protocols if name in PROTOCOLS]
    for protocol in known:
        if {n.name for n in protocol.numbers} != {c.name for c in board.columns(protocol.name)}:
            raise DataError(
                f"the record's protocol {protocol.name} has other numbers than this release's: "
                "measure again"
            )
    if method is not None and method not in board.methods:
        raise unknown("method", method, board.methods)
    for dataset in board.datasets:
        for name in board.ranked(dataset, OURS.name) if method is None else [method]:
            summaries = {p.name: board.cell(name, dataset, p.name)["numbers"] for p in known}
            yield board.title(name), dataset, explain_summaries(summaries, protocols=known)
