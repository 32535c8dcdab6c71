"""Evaluation: named protocols, records of what was measured, and tables made from them."""

from tamperscope.bench.content import content_overlap
from tamperscope.bench.predictor import Prediction
from tamperscope.bench.protocol import OURS, PROTOCOLS, Protocol
from tamperscope.bench.record import Record
from tamperscope.bench.references import REFERENCES, Reference
from tamperscope.bench.run import main_bench, run_benchmark
from tamperscope.bench.tables import load_records, markdown_table

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
    "main_bench",
    "markdown_table",
    "run_benchmark",
]
