"""Benchmarks: what the shop costs, measured beside other servers on the same machine."""
