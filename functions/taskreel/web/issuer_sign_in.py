"""The issuer's sign-in page, in the form in which the dashboard reads it."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSignIn:
    """A public client of OpenID Connect at an issuer; nothing of it is secret."""

    issuer: str
    client_id: str
    scopes: str
    #: Of the tokens that the API accepts; None accepts any.
    audience: str | None

    @property
    def origin(self) -> str:
        """The issuer's origin, which the dashboard may call beside its own."""
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    def write_element(self) -> bytes:
        """The element of the page's head that the dashboard reads it from."""
        content = json.dumps(
            {
                "issuer": self.issuer,
                "clientId": self.client_id,
                "scopes": self.scopes,
                "audience": self.audience,
            }
        )
        return f'<meta name="taskreel-sign-in" content="{html.escape(content)}">'.encode()
