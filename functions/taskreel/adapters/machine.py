"""This instance's memory, processors, disk and network, as Linux states them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from taskreel.domain.health import MachineFacts

_CGROUP = Path("/sys/fs/cgroup")
#: The columns of an interface: bytes, then the packets with errors and those that were dropped.
_RECEIVED, _SENT = 0, 8
_FAULTY = (2, 3, 10, 11)


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
        **_read_network(Path("/proc/net/dev")),
        open_sockets=_count_sockets(Path("/proc/self/fd")),
    )


def _read_network(file: Path) -> dict[str, int]:
    """The bytes and faulty packets of all interfaces; empty where they are not stated.

    What this machine sends to itself is not counted.
    """
    try:
        lines = [line.partition(":") for line in file.read_text().splitlines()]
    except OSError:
        return {}
    rows = [
        [int(word) for word in numbers.split()]
        for name, colon, numbers in lines
        if colon and name.strip() != "lo"
    ]
    return {
        "network_received_bytes": sum(row[_RECEIVED] for row in rows),
        "network_sent_bytes": sum(row[_SENT] for row in rows),
        "network_errors": sum(row[place] for row in rows for place in _FAULTY),
    }


def _count_sockets(folder: Path) -> int | None:
    """The sockets that this process has open."""
    try:
        links = list(folder.iterdir())
    except OSError:
        return None
    return sum(_is_socket(link) for link in links)


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:
        return False  # it was closed meanwhile


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
