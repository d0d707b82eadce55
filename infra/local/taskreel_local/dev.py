"""`taskreel dev`: the stack in the foreground."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.console import Console

from taskreel_local.stack import Stack, StackConfig, sources_changed
from taskreel_local.tokens import make_token

_WELCOME = """
[bold green]Taskreel runs at {url}[/]   (data in {data})

  API documentation  {url}/api/docs
  make a picture     taskreel submit image-generation --prompt "a lighthouse in a storm" --follow

[dim]or, with any HTTP client (the token is user dev's, for 30 days):[/]
"""

_CURL = """curl -s {url}/api/jobs/image-generation \\
  -H "Authorization: Bearer {token}" \\
  -H "Content-Type: application/json" -H "Prefer: wait=30" \\
  -d '{{"prompt": "a lighthouse in a storm", "model": "flux-1.1-pro", "provider": "bfl"}}'
"""


async def run_dev(console: Console, *, reload: bool = False, **options: Any) -> None:
    """Start, say where, and run until cancelled."""
    async with Stack(StackConfig(**options)) as stack:
        token = make_token(stack.data, user="dev", tier="pro")
        console.print(_WELCOME.format(url=stack.url, data=stack.data.root), soft_wrap=True)
        console.print(_CURL.format(url=stack.url, token=token), soft_wrap=True, highlight=False, markup=False)
        console.print("[dim]Ctrl-C stops it; the next start goes on where it stopped.[/]\n")
        if not reload:
            await asyncio.Event().wait()
        async for _ in sources_changed():
            console.print("[dim]The code has changed: starting the servers again.[/]")
            await stack.reload()
