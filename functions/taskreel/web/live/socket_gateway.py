"""The socket.io gateway: `jobUpdate` events for the documented client, unchanged.

A connection gets the changes of its user's jobs, or of the scopes it names. It survives cuts with
the stock client's connection state recovery, for which this server remembers nothing: the CONNECT
answer has a `pid`, and each event ends with an offset (see socket_cursor.py).

One instance serves clients that begin with polling. With several, a client must say
`transports: ["websocket"]`: its polls would reach different instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import socketio
from socketio import packet
from starlette.types import ASGIApp

from taskreel.app.caller import Caller
from taskreel.app.live.job_feed import JobFeed
from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import (
    OWN_JOBS,
    Scope,
    ScopeKind,
    may_still_read,
    open_scope,
)
from taskreel.app.services import Services
from taskreel.domain.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StoreError,
    TaskreelError,
    TooManyConnectionsError,
    UnauthenticatedError,
)
from taskreel.domain.stream_position import StreamPosition
from taskreel.web.auth import Authenticator
from taskreel.web.cors import is_allowed_origin
from taskreel.web.live.job_update import JobUpdates
from taskreel.web.live.regular_check import RegularCheck
from taskreel.web.live.socket_cursor import (
    choose_cursor,
    format_cursor,
    list_scope_names,
    make_pid,
)
from taskreel.web.live_context import LiveContext
from taskreel.web.stream_tokens import ExpiringCaller

log = logging.getLogger(__name__)

MOST_SUBSCRIPTIONS = 10
#: The rights on what a connection follows are checked again so often.
RIGHTS_SECONDS = 15.0
#: Of what a client sends; it sends a token and a few names.
_MOST_MESSAGE_BYTES = 32 << 10
#: Packets that wait for a slow client; more changes wait in its reader, which is bounded too.
_MOST_PACKETS = 16
_DRAIN_SECONDS = 0.05
_NAMESPACE = "/"


class _ConnectPacket(packet.Packet):  # type: ignore[misc]  # the library has no types
    """A packet whose CONNECT answer also has the `pid` of the connection."""

    #: The pid of each connection that is about to be answered.
    pids: dict[str, str]

    def __init__(self, packet_type: int = packet.EVENT, data: Any = None, **rest: Any) -> None:
        if packet_type == packet.CONNECT and isinstance(data, dict) and "sid" in data:
            pid = self.pids.pop(data["sid"], None)
            data = data if pid is None else {**data, "pid": pid}
        super().__init__(packet_type, data, **rest)


class _Connection:
    """One client: its caller, its reader, and the task that sends it what the reader has."""

    def __init__(
        self, expiring: ExpiringCaller, reader: JobReader, held: AsyncExitStack, pid: str
    ) -> None:
        self.pid = pid
        self.expiring = expiring
        self.reader = reader
        self.held = held
        self.task: asyncio.Task[None] | None = None
        #: Subscriptions change one after another.
        self.lock = asyncio.Lock()

    @property
    def caller(self) -> Caller:
        """The user of the connection."""
        return self.expiring.caller


class SocketGateway:
    """All socket.io connections of this process; `app` serves `/socket.io/`."""

    def __init__(
        self,
        live: LiveContext,
        authenticator: Authenticator,
        *,
        origins: Sequence[str] = (),
        guest: Caller | None = None,
    ) -> None:
        """Serve the feed's changes.

        Args:
            live: The feed and the limits.
            authenticator: Verifies tokens.
            origins: The origins whose pages may connect, beside the gateway's own.
            guest: The user of connections without a token; None refuses them.
        """
        self._live = live
        self._authenticator = authenticator
        self._guest = guest
        self._updates = JobUpdates(self._services)
        self._connections: dict[str, _Connection] = {}
        self._pids: dict[str, str] = {}

        def is_allowed(origin: str | None, environ: Mapping[str, Any]) -> bool:
            own = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}"
            return origin is None or origin == own or is_allowed_origin(origin, origins)

        serializer = type("ConnectPacket", (_ConnectPacket,), {"pids": self._pids})
        self._server = socketio.AsyncServer(
            async_mode="asgi",
            serializer=serializer,
            cors_allowed_origins=is_allowed,
            cors_credentials=False,
            max_http_buffer_size=_MOST_MESSAGE_BYTES,
        )
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        self._server.on("subscribe", self._subscribe)
        self._server.on("unsubscribe", self._unsubscribe)
        self._server.on("authenticate", self._authenticate_again)
        self.app: ASGIApp = socketio.ASGIApp(self._server)

    @property
    def _feed(self) -> JobFeed:
        return self._live.feed

    @property
    def _services(self) -> Services:
        return self._live.feed.services

    # ── Connecting ───────────────────────────────────────────────────────────────────────────────

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        options: Mapping[str, Any] = auth if isinstance(auth, dict) else {}
        async with AsyncExitStack() as held:
            try:
                expiring = await self._authenticate(options, environ.get("HTTP_AUTHORIZATION"))
                await self._drop_earlier(expiring.caller, options.get("pid"))
                held.enter_context(self._live.limits.hold(expiring.caller.user_id))
                reader = await held.enter_async_context(JobReader(self._feed))
                cursor = choose_cursor(options.get("pid"), options.get("offset"))
                if cursor is None:
                    await self._add_scopes(expiring.caller, reader, _read_wishes(options))
                else:
                    await self._resume(expiring.caller, reader, cursor)
            except TaskreelError as error:
                raise _build_refusal(error) from error
            is_recovered = cursor is not None and not reader.was_reset
            # The same pid tells the client that nothing was missed; another, that it began again.
            pid: str = options["pid"] if is_recovered else make_pid(reader)
            self._pids[sid] = pid
            connection = _Connection(expiring, reader, held.pop_all(), pid)
        self._connections[sid] = connection
        connection.task = asyncio.create_task(self._send_changes(sid, connection))

    async def _drop_earlier(self, caller: Caller, pid: object) -> None:
        """Close the client's last connection, of whose end the server may not know yet.

        It would count as open until it misses its pings, for most of a minute.
        """
        for sid, one in list(self._connections.items()):
            if one.pid == pid and one.caller.user_id == caller.user_id:
                await self._close_transport(sid)

    async def _authenticate(self, options: Mapping[str, Any], header: str | None) -> ExpiringCaller:
        token = options.get("token")
        if isinstance(token, str) and token:
            header = token if token.lower().startswith("bearer ") else f"Bearer {token}"
        if header is None and self._guest is not None:
            return ExpiringCaller(self._guest, float("inf"))
        if header is None:
            raise UnauthenticatedError(
                "No token. Connect with `io(url, {auth: {token}})`, or send the Authorization "
                "header."
            )
        return ExpiringCaller(*await self._authenticator.authenticate_until(header))

    async def _add_scopes(self, caller: Caller, reader: JobReader, scopes: list[Scope]) -> None:
        for scope in scopes:
            opened = await open_scope(self._services, caller, scope)
            await reader.add(opened, with_current=True)

    async def _resume(
        self, caller: Caller, reader: JobReader, cursor: Mapping[Scope, StreamPosition]
    ) -> None:
        """Go on with the scopes of the cursor that the caller may still read."""
        for scope, position in list(cursor.items())[:MOST_SUBSCRIPTIONS]:
            with contextlib.suppress(NotFoundError, ForbiddenError, InvalidError):
                opened = await open_scope(self._services, caller, scope)
                await reader.add(opened, position)

    async def _disconnect(self, sid: str, *_reason: object) -> None:
        self._pids.pop(sid, None)
        connection = self._connections.pop(sid, None)
        if connection is None:
            return
        if connection.task is not None and connection.task is not asyncio.current_task():
            connection.task.cancel()
        await connection.held.aclose()

    # ── Sending ──────────────────────────────────────────────────────────────────────────────────

    async def _send_changes(self, sid: str, connection: _Connection) -> None:
        """Send what the reader has until the token expires, the process stops or the store fails.

        The transport is then closed, not the connection: the stock client connects again by itself,
        with a token that its `auth` function may have renewed.
        """
        reader = connection.reader
        await asyncio.sleep(0)  # the CONNECT answer comes first
        rights = RegularCheck(RIGHTS_SECONDS)
        with contextlib.suppress(StoreError):
            while True:
                # Where jobs change all the time, too: no scope outlives its right for long.
                if rights.take_turn():
                    await self._drop_lost_scopes(sid, connection)
                left = _find_seconds_left(connection.expiring)
                try:
                    async with asyncio.timeout(min(left, rights.seconds_left)):
                        change = await reader.read()
                except TimeoutError:
                    if _find_seconds_left(connection.expiring):
                        continue  # the rights are checked, or the token was renewed meanwhile
                    break
                if change is None:
                    break
                arguments = await self._updates.build(change), format_cursor(reader)
                await self._server.emit("jobUpdate", arguments, to=sid)
                await self._wait_for_client(sid)
        await self._close_transport(sid)

    async def _drop_lost_scopes(self, sid: str, connection: _Connection) -> None:
        """Follow no more what the caller may no longer read: a role can be taken from them."""
        async with connection.lock:
            lost = [
                one
                for one in connection.reader.scopes
                if not await may_still_read(self._services, connection.caller, one)
            ]
            for one in lost:
                connection.reader.remove(one)
        if lost:
            await self._send_subscriptions(sid, connection.reader)

    async def _wait_for_client(self, sid: str) -> None:
        """Wait while the client has not read what was sent before."""
        with contextlib.suppress(KeyError):
            # The library has no event for it, and only slow clients are asked again.
            while self._find_socket(sid).queue.qsize() > _MOST_PACKETS:  # noqa: ASYNC110
                await asyncio.sleep(_DRAIN_SECONDS)

    async def _close_transport(self, sid: str) -> None:
        with contextlib.suppress(KeyError):
            transport = self._find_socket(sid)
            await transport.close(wait=False)
            # A WebSocket client ignores the closing packet: this ends the writer, and the socket.
            await transport.queue.put(None)

    def _find_socket(self, sid: str) -> Any:
        """The transport of a connection. Raises KeyError when it is closed."""
        engine_id = self._server.manager.eio_sid_from_sid(sid, _NAMESPACE)
        return self._server.eio.sockets[engine_id]

    # ── What a client asks for ───────────────────────────────────────────────────────────────────

    async def _subscribe(self, sid: str, wish: Any = None) -> dict[str, Any]:
        """`{jobId}`, `{projectId}`, `{queue}` or `{own: true}`: follow it too."""
        return await self._change_scopes(sid, wish, add=True)

    async def _unsubscribe(self, sid: str, wish: Any = None) -> dict[str, Any]:
        """Follow it no more."""
        return await self._change_scopes(sid, wish, add=False)

    async def _change_scopes(self, sid: str, wish: Any, *, add: bool) -> dict[str, Any]:
        connection = self._connections.get(sid)
        if connection is None:
            return {"ok": False}
        reader = connection.reader
        try:
            scope = _read_wish(wish)
            async with connection.lock:
                present = [one for one in reader.scopes if one.scope == scope]
                if add and not present:
                    _check_room(reader)
                    await self._add_scopes(connection.caller, reader, [scope])
                elif not add:
                    for one in present:
                        reader.remove(one)
        except TaskreelError as error:
            return {"ok": False, "error": {"code": error.code, "message": error.message}}
        names = await self._send_subscriptions(sid, reader)
        return {"ok": True, "subscriptions": names}

    async def _send_subscriptions(self, sid: str, reader: JobReader) -> list[Any]:
        """Send what is followed now, and return it.

        The offset of this event has the new scopes: a cut right after it does not lose them.
        """
        names = list_scope_names([one.scope for one in reader.scopes])
        await self._server.emit("subscriptions", (names, format_cursor(reader)), to=sid)
        return names

    async def _authenticate_again(self, sid: str, auth: Any = None) -> dict[str, Any]:
        """`{token}`: go on with a fresh token of the same user."""
        connection = self._connections.get(sid)
        if connection is None:
            return {"ok": False}
        try:
            expiring = await self._authenticate(auth if isinstance(auth, dict) else {}, "")
            if expiring.caller.user_id != connection.caller.user_id:
                raise UnauthenticatedError("The token is another user's. Connect again with it.")
        except TaskreelError as error:
            return {"ok": False, "error": {"code": error.code, "message": error.message}}
        connection.expiring = expiring
        return {"ok": True}


def _find_seconds_left(expiring: ExpiringCaller) -> float:
    """The time to the token's expiry, at most an hour."""
    return min(3600.0, max(0.0, expiring.expires_at - time.time()))


def _build_refusal(error: TaskreelError) -> Exception:
    # As the API answers it: the names of keys are for operators alone.
    text = error.caller_text if isinstance(error, StoreError) else None
    refusal: Exception = socketio.exceptions.ConnectionRefusedError(
        text or error.message, {"code": error.code}
    )
    return refusal


def _read_wishes(options: Mapping[str, Any]) -> list[Scope]:
    """The scopes of `auth.subscribe`; all of the user's jobs without it."""
    wishes = options.get("subscribe")
    if wishes is None:
        return [OWN_JOBS]
    if not isinstance(wishes, list) or not wishes:
        raise InvalidError.at("subscribe", 'must be a list such as [{"jobId": "job_…"}]')
    if len(wishes) > MOST_SUBSCRIPTIONS:
        raise _build_too_many()
    return list(dict.fromkeys(_read_wish(one) for one in wishes))


def _read_wish(wish: Any) -> Scope:
    if isinstance(wish, dict) and len(wish) == 1:
        ((name, value),) = wish.items()
        if name == ScopeKind.OWN and value is True:
            return OWN_JOBS
        if name in set(ScopeKind) and name != ScopeKind.OWN and isinstance(value, str) and value:
            return Scope(ScopeKind(name), value)
    raise InvalidError.at(
        "subscribe", "must have one of `jobId`, `projectId`, `queue` (admins) and `own: true`"
    )


def _check_room(reader: JobReader) -> None:
    if len(reader.scopes) >= MOST_SUBSCRIPTIONS:
        raise _build_too_many()


def _build_too_many() -> TooManyConnectionsError:
    return TooManyConnectionsError(
        f"A connection may have {MOST_SUBSCRIPTIONS} subscriptions. Unsubscribe from one first; "
        "`own: true` follows all of your jobs with a single one."
    )
