"""Addresses on the Internet: names are resolved, checked, and connected to at what was checked.

The table is ours. The interpreter's own (`is_global`) differs between releases and has gaps: on
Python 3.11.7 site-local and IPv4-compatible addresses count as global.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

#: The special-purpose registries of IANA, and what is reserved, multicast or retired. Addresses
#: with an IPv4 address inside are among them (mapped, compatible, local NAT64, Teredo): no public
#: name needs one.
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
#: A resolver of an IPv6-only network makes these of public names: the IPv4 address inside decides.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """True for an address on the Internet; for an embedded IPv4 address, that one decides."""
    # A zone (fe80::1%eth0) names an interface of this machine.
    if "%" in address:
        return False
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour is not None and not is_public(str(ip.sixtofour)):
            return False
    return not any(ip.version == network.version and ip in network for network in _REFUSED)


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Every address of a host. Raises OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
