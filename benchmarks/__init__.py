"""Benchmarks: each prints one table of ratios, measured in one run. `python -m tools bench NAME`. Never part of the tests."""
