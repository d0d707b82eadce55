"""The few Redis commands that reading another system's queues takes: nothing to install for one import."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit


class RedisError(Exception):
    """Redis refused, or cannot be reached."""


class Redis:
    """`with Redis("redis://[user:password@]host[:port][/db]") as redis:`; `rediss:` is TLS. One command at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
            raise RedisError(f"{url!r} should read redis://host:6379/0, or rediss:// for TLS")
        address = (parts.hostname, parts.port or 6379)
        try:
            self._socket = socket.create_connection(address, timeout=30)
            if parts.scheme == "rediss":
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
        except OSError as error:
            raise RedisError(f"Redis at {address[0]}:{address[1]} cannot be reached: {error}") from None
        self._answers = self._socket.makefile("rb")
        if parts.password:
            self.call("AUTH", *([unquote(parts.username)] if parts.username else []), unquote(parts.password))
        if database := parts.path.strip("/"):
            self.call("SELECT", database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.close()
        self._socket.close()

    def call(self, *words: str | int) -> Any:
        """One command's answer: str, int, None, or a list of them. Raises RedisError."""
        encoded = [str(word).encode() for word in words]
        lines = [b"*%d" % len(encoded), *(part for word in encoded for part in (b"$%d" % len(word), word)), b""]
        try:
            self._socket.sendall(b"\r\n".join(lines))
            return self._answer()
        except OSError as error:
            raise RedisError(f"the connection to Redis broke: {error}") from None

    def scan(self, pattern: str) -> Iterator[str]:
        """Every key that matches, once; without holding Redis up."""
        cursor, seen = "0", set[str]()
        while True:
            cursor, keys = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            for key in keys:
                if key not in seen:
                    seen.add(key)
                    yield key
            if cursor == "0":
                return

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise RedisError("Redis closed the connection")
        kind, rest = line[:1], line[1:].strip()
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                raise RedisError(rest.decode())
            case b":":
                return int(rest)
            case b"$":
                return self._text(int(rest))
            case b"*":
                return [self._answer() for _ in range(int(rest))] if int(rest) >= 0 else None
            case _:
                raise RedisError(f"this is not Redis: it said {line[:40]!r}")

    def _text(self, length: int) -> str | None:
        if length < 0:
            return None
        return self._answers.read(length + 2)[:-2].decode("utf-8", "replace")
