"""Comparisons with what people use instead: run one with `python -m benchmarks NAME`. They take minutes."""
