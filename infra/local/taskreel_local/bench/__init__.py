"""Benchmarks: `scripts/bench`. Only the ratios of one run mean anything; the machine decides the rest."""
