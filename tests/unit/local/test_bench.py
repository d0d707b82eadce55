from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskreel_local.bench import __main__ as command
from taskreel_local.bench import peer_tools
from taskreel_local.bench.load import parse_ab_report, parse_hey_report
from taskreel_local.bench.process_tree import BenchmarkError, ProcessTree, wait_for
from taskreel_local.bench.table import format_ratio, format_table, format_values

AB = """
Complete requests:      2000
Failed requests:        3
Non-2xx responses:      5
Keep-Alive requests:    1500

Percentage of the requests served within a certain time (ms)
  50%     35
  99%    143
 100%    180 (longest request)
"""

HEY = """
Latency distribution:
  50% in 0.0354 secs
  99% in 0.1430 secs

Status code distribution:
  [202]\t1990 responses
  [503]\t10 responses
"""


def test_ab_report() -> None:
    sent = parse_ab_report(AB, 2.5, 2000)
    assert (sent.accepted, sent.refused) == (1992, 8)
    assert (sent.p50_ms, sent.p99_ms, sent.reused) == (35, 143, 0.75)


def test_hey_report() -> None:
    sent = parse_hey_report(HEY, 2.5, 2000)
    assert (sent.accepted, sent.refused) == (1990, 10)
    assert [sent.p50_ms, sent.p99_ms] == pytest.approx([35.4, 143])


def test_several_runs_are_told_with_their_range() -> None:
    assert format_values([3.0]) == "3"
    assert format_values([9.0, 1.0, 4.0]) == "4 (1–9)"


def test_ratios_are_of_the_same_run() -> None:
    assert format_ratio([200.0, 20.0], [100.0, 10.0]) == "2.00 (2.00–2.00)×"


def test_a_row_that_failed_runs_on() -> None:
    lines = format_table(
        ("", "a", "b"), [["x", "1", "22"], ["longer", "not run: nothing there"]]
    ).splitlines()
    assert lines[2:] == ["x       1  22", "longer  not run: nothing there"]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        BenchmarkError, match="redis-server missing; apt-get install -y redis-server"
    ):
        peer_tools.require_programs("redis-server")


def test_an_unknown_peer_is_refused() -> None:
    answer = CliRunner().invoke(command.main, ["jobs", "--peers", "rabbit"])
    assert answer.exit_code == 2
    assert "express-bullmq" in answer.output


def test_a_tree_counts_its_children_and_takes_them_with_it(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    with ProcessTree(tmp_path / "log") as tree:
        tree.start([sys.executable, "-c", parent], environ=dict(os.environ))
        for _ in wait_for(20, "the child", tree):
            if len(list(tree._list_processes())) == 2:
                break
        processes = list(tree._list_processes())
        assert tree.cpu_seconds() > 0
        assert tree.memory_mb() > 1
    assert not any(process.is_running() and process.status() != "zombie" for process in processes)


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with ProcessTree(tmp_path / "log") as tree:
        tree.start(
            [sys.executable, "-c", "import sys; sys.exit('no licence')"], environ=dict(os.environ)
        )
        with pytest.raises(BenchmarkError, match="no licence"):
            list(wait_for(20, "starting", tree))
