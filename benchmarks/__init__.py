"""Benchmarks: ratios to the floor and to peers, measured in one run on one machine."""
