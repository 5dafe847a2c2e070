"""Measured ratios against their bars: `python -m tests.bench`, or `--only G1,G2`."""
