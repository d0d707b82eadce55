"""The recorder of spans that a setting names; imported only where it does, as its libraries are."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from taskreel.config import ConfigurationError, Settings

if TYPE_CHECKING:
    from taskreel.adapters.open_telemetry import Telemetry


def find_telemetry(chosen: Settings) -> Telemetry:
    """The recorder of this process, whose receiver the settings name."""
    endpoint = chosen.otel_exporter_otlp_endpoint or ""
    service = chosen.otel_service_name or os.environ.get("K_SERVICE") or "taskreel"
    return build_telemetry(endpoint, service)


@functools.cache
def build_telemetry(endpoint: str, service: str) -> Telemetry:
    """Import OpenTelemetry's SDK, and build the one recorder of a process."""
    try:
        from taskreel.adapters.open_telemetry import open_telemetry
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's SDK is not installed: "
            "install taskreel[telemetry]"
        ) from error
    return open_telemetry(endpoint, service)
