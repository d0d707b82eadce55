"""Another system's Redis, read as it answers: plain lists and strings."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import redis


class RedisError(Exception):
    """Redis refused, or cannot be reached."""


class Redis:
    """`with Redis("redis://[user:password@]host[:port][/db]") as redis:`; `rediss:` is TLS."""

    def __init__(self, url: str) -> None:
        try:
            self._client = redis.Redis.from_url(
                url, decode_responses=True, encoding_errors="replace", socket_timeout=30, protocol=2
            )
        except ValueError:
            raise RedisError(f"{url!r} should read redis://host:6379/0, or rediss:// for TLS") from None
        self._client.response_callbacks.clear()  # answers as they come, not as the library shapes them

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, *words: str | int) -> Any:
        """One command's answer: str, int, None, or a list of them. Raises RedisError."""
        try:
            return self._client.execute_command(*words)  # type: ignore[no-untyped-call]  # the library's own
        except redis.InvalidResponse as error:
            raise RedisError(f"this is not Redis: {error}") from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise RedisError(f"Redis cannot be reached: {error}") from None
        except redis.RedisError as error:
            raise RedisError(str(error)) from None

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
