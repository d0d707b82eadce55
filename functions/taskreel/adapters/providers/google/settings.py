"""Google without a key: Vertex, as the service account that this code runs as."""

from __future__ import annotations

from typing import Any, Protocol

from taskreel.adapters.providers.google.metadata_token import MetadataToken


class VertexSettings(Protocol):
    """GOOGLE_VERTEX_PROJECT and GOOGLE_VERTEX_LOCATION."""

    google_vertex_project: str | None
    google_vertex_location: str


def build_options(settings: VertexSettings) -> dict[str, Any]:
    """The arguments of `Google` for the project and location in `settings`."""
    location = settings.google_vertex_location
    region = "" if location == "global" else f"{location}-"
    parent = f"projects/{settings.google_vertex_project}/locations/{location}"
    return {
        "key": MetadataToken(),
        "base_url": f"https://{region}aiplatform.googleapis.com/v1beta1/{parent}",
    }
