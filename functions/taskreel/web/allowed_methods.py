"""The methods of each path: 405 with `Allow`, where a less specific route would take the request.

`GET /api/jobs/health` and `POST /api/jobs/{job_type}` match the same paths, and so would a POST to
`/api/jobs/health`: the router asks each route in turn, and takes the first with path and method.
Here the most specific path decides first, as it does in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from taskreel.web.problems import build_problem

#: The segments of a path; None stands for a parameter.
_Template = tuple[str | None, ...]


@dataclass(slots=True)
class _Methods:
    #: As the route writes it, with the names of its parameters.
    path: str
    #: All that some route takes, and those of them that the document names.
    accepted: set[str] = field(default_factory=set)
    documented: set[str] = field(default_factory=set)


class AllowedMethods:
    """ASGI middleware that answers a method which the request's path does not have with 405."""

    def __init__(
        self, app: ASGIApp, routes: Iterable[BaseRoute], more: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Serve `app`.

        Args:
            app: The application that has the routes.
            routes: Its routes. Those with a path of any length are for the router.
            more: Methods and paths that the routes accept, but do not name.
        """
        self._app = app
        self._paths: dict[int, dict[_Template, _Methods]] = {}
        for route in routes:
            if isinstance(route, Route) and ":path}" not in route.path:
                self._add(route.path, route.methods or (), documented=route.include_in_schema)
        for method, path in more:
            self._add(path, [method], documented=True)

    def _add(self, path: str, methods: Iterable[str], *, documented: bool) -> None:
        template = tuple(None if "{" in part else part for part in path.split("/"))
        found = self._paths.setdefault(len(template), {}).setdefault(template, _Methods(path))
        found.accepted.update(methods)
        if documented:
            found.documented.update(methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            methods = self._find_methods(scope["path"])
            if methods is not None and scope["method"] not in methods.accepted:
                allowed = ", ".join(sorted(methods.documented or methods.accepted))
                response = build_problem(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    f"{scope['path']} does not take {scope['method']}, but {allowed}. "
                    f"{self._advise(scope['method'], scope['path'])}",
                )
                response.headers["Allow"] = allowed
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _advise(self, method: str, path: str) -> str:
        """Name the route that takes the method if one more parameter is in the path."""
        parts = path.split("/")
        for template, methods in self._paths.get(len(parts) + 1, {}).items():
            for place, name in enumerate(template):
                shorter = template[:place] + template[place + 1 :]
                if name is None and method in methods.documented and _matches(shorter, parts):
                    return f"Use {method} {methods.path}."
        return "See /api/docs for the routes."

    def _find_methods(self, path: str) -> _Methods | None:
        """The methods of the most specific template: a name comes before a parameter."""
        parts = path.split("/")
        templates = self._paths.get(len(parts), {})
        matching = [one for one in templates if _matches(one, parts)]
        if not matching:
            return None
        return templates[min(matching, key=lambda one: [part is None for part in one])]


def _matches(template: _Template, parts: list[str]) -> bool:
    return all(
        part == expected if expected is not None else part
        for expected, part in zip(template, parts, strict=True)
    )
