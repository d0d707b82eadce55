"""A fake on a port of this machine, for the providers' own clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.fake_provider import serve_on_port
from providers.fakes import FAKES
from providers.served_fakes import Served


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The fake of the provider that the test's mark `provider` names."""
    name, fault = request.param if isinstance(request.param, tuple) else (request.param, None)
    fake = FAKES[name](fault=fault)
    with serve_on_port(fake) as url:
        yield Served(fake, url)
