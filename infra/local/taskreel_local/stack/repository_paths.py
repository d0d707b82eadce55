"""Paths of the repository that the stack and the benchmarks use."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
MAIN = ROOT / "functions" / "main.py"
QUEUES = ROOT / "infra" / "queues.yaml"
LIMITS = ROOT / "infra" / "limits.yaml"
