"""Measurements, apart from the tests: none asserts a time. `python -m benchmarks NAME [--runs N]`;
all: `make bench`.

A benchmark is a module with `measure() -> list[Row]`, which is one run, and `RUNS`, how many the
table wants of it.
"""
