"""The parts of `benchmarks/clustering.py`: point sets, competitors, measured runs, agreement,
tables."""
