"""Evaluation: named protocols, records of what was measured, and tables made from them."""

from tamperscope.bench.content import content_overlap
from tamperscope.bench.protocols import OURS, PROTOCOLS, Prediction, Protocol
from tamperscope.bench.record import Record
from tamperscope.bench.references import REFERENCES, Reference
from tamperscope.bench.tables import load_records

__all__ = [
    "OURS",
    "PROTOCOLS",
    "REFERENCES",
    "Prediction",
    "Protocol",
    "Record",
    "Reference",
    "content_overlap",
    "load_records",
]
