"""This instance's memory, processors and disk, as Linux and its control groups state them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from taskreel.domain.health import MachineFacts

_CGROUP = Path("/sys/fs/cgroup")


def read_machine(disk: Path) -> MachineFacts:
    """The facts now; `disk` is a folder on the disk that fills with files of running jobs."""
    while not disk.exists():
        disk = disk.parent
    usage = shutil.disk_usage(disk)
    total, available = _read_memory()
    limit = _read_number(_CGROUP / "memory.max")
    used = _read_number(_CGROUP / "memory.current")
    if limit is None or used is None:
        limit, used = total, None if total is None else total - (available or 0)
    return MachineFacts(
        memory_bytes=used,
        memory_limit_bytes=limit,
        process_bytes=_read_process_bytes(),
        cpu_count=os.cpu_count() or 1,
        load_1m=round(os.getloadavg()[0], 2),
        disk_bytes=usage.used,
        disk_limit_bytes=usage.total,
    )


def _read_memory() -> tuple[int | None, int | None]:
    """The bytes of memory of the machine, and those that are available."""
    sizes = _read_sizes(Path("/proc/meminfo"))
    return sizes.get("MemTotal"), sizes.get("MemAvailable")


def _read_process_bytes() -> int | None:
    return _read_sizes(Path("/proc/self/status")).get("VmRSS")


def _read_sizes(file: Path) -> dict[str, int]:
    """The sizes, in bytes, in a file of lines such as `VmRSS:  1024 kB`."""
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {
        row[0].rstrip(":"): int(row[1]) * 1024
        for row in rows
        if len(row) == 3 and row[2] == "kB" and row[1].isdecimal()
    }


def _read_number(file: Path) -> int | None:
    """The number in a file; None if there is no such file, or the text `max` in it."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
