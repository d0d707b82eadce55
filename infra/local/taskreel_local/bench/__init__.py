"""Benchmarks: `scripts/bench`. Compare only figures of one run: machines and loads differ."""
