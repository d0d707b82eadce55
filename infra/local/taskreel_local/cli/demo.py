"""`taskreel demo`: four jobs through the public API, or a whole movie, and the resulting files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from taskreel_local.cli.api_client import ApiClient
from taskreel_local.stack.data_folder import display_path
from taskreel_local.stack.dev_tokens import make_token
from taskreel_local.stack.local_stack import Stack, StackConfig

#: Half a minute of video, made in well under ninety seconds on two cores.
_SCENES = 3


class DemoError(Exception):
    """A job of the demo did not complete."""


async def run_demo(
    console: Console, prompt: str, *, data: Path, movie: bool, **options: Any
) -> None:
    """Start a stack on a free port, run the jobs, print the files, and stop. Raises DemoError."""
    out = data / "output" / re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
    out.mkdir(parents=True, exist_ok=True)
    with console.status("Starting the stack…"):
        stack = await Stack(
            StackConfig(data=data, environ={"LOG_LEVEL": "ERROR"}, **options)
        ).__aenter__()
    try:
        console.print(
            f"The stack runs at [bold]{stack.url}[/] (API documentation: {stack.url}/api/docs)\n"
        )
        token = make_token(stack.data, user="demo", tier="pro")
        async with ApiClient(stack.url, token) as client:
            demo = _Demo(client, prompt, out, console)
            await (demo.make_movie() if movie else demo.make_files())
    finally:
        with console.status("Stopping the stack…"):
            await stack.__aexit__(None, None, None)


class _Demo:
    """The jobs of the demo, their progress bars and their files."""

    def __init__(self, client: ApiClient, prompt: str, out: Path, console: Console) -> None:
        self._client = client
        self._prompt = prompt
        self._out = out
        self._console = console
        self._rows: list[tuple[str, dict[str, Any], Path]] = []
        self._bars = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[status]:<11}"),
            TimeElapsedColumn(),
            console=console,
        )

    async def make_files(self) -> None:
        before = await self._client.call("GET", "/api/credits")
        with self._bars:
            image = await self._run_job(
                "image-generation",
                {**self._prompt_fields(), "options": {"width": 1024, "height": 768}},
            )
            source = f"job:{image['jobId']}/image.png"
            await asyncio.gather(
                self._run_job(
                    "image-upscale",
                    {"imageUrl": image["result"]["artifacts"][0]["url"], "scale": 2},
                ),
                self._run_job("batch-generation", self._batch_body()),
                self._run_job(
                    "video-generation",
                    {**self._prompt_fields(), "imageUrls": [source], "options": {"duration": 5}},
                ),
            )
        self._print_report(before, await self._client.call("GET", "/api/credits"))

    async def make_movie(self) -> None:
        """Make a movie from one line, and print its story."""
        before = await self._client.call("GET", "/api/credits")
        with self._bars:
            body = {
                "prompt": self._prompt,
                "num_sequences": _SCENES,
                "options": {"resolution": "720p", "fps": 24},
            }
            movie = await self._run_job("movie-creation", body)
        result = movie["result"]
        self._console.print(f"\n[bold]{result['title']}[/]  {result['story']['logline']}\n")
        for scene in result["story"]["scenes"]:
            self._console.print(f"  {scene['narration']}")
        if result.get("note"):
            self._console.print(f"\n{result['note']}")
        self._print_report(before, await self._client.call("GET", "/api/credits"))

    def _prompt_fields(self) -> dict[str, Any]:
        return {"prompt": self._prompt, "provider": "studio"}

    def _batch_body(self) -> dict[str, Any]:
        prompts = [f"{self._prompt}, {mood}" for mood in ("at sunset", "in the snow", "at night")]
        options = {"width": 768, "height": 512, "outputFormat": "jpeg"}
        return {"prompts": prompts, "batchSize": 3, "provider": "studio", "options": options}

    async def _run_job(self, job_type: str, body: dict[str, Any]) -> dict[str, Any]:
        bar = self._bars.add_task(job_type, total=100, status="SUBMITTING")
        submitted = await self._client.submit_job(job_type, body)
        job = await self._show_progress(submitted["jobId"], bar)
        if job["status"] != "COMPLETED":
            reason = (job["error"] or {}).get("message", "no reason given")
            raise DemoError(f"{job_type} ended as {job['status']}: {reason}")
        for artifact in job["result"]["artifacts"]:
            file = await self._client.download_file(artifact["url"], self._out / artifact["name"])
            self._rows.append((job_type, artifact, file))
        return job

    async def _show_progress(self, job_id: str, bar: TaskID) -> dict[str, Any]:
        job: dict[str, Any] = {}
        async for job in self._client.follow_job(job_id):
            self._bars.update(bar, completed=job["progress"], status=job["status"])
        return job

    def _print_report(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("job", "size", "length", "file"):
            table.add_column(column, no_wrap=True)
        for job_type, artifact, file in sorted(self._rows, key=lambda row: row[0]):
            length = artifact.get("durationSeconds")
            table.add_row(
                job_type,
                f"{artifact.get('width')}×{artifact.get('height')}",
                f"{length:.1f} s" if length else "",
                file.name,
            )
        self._console.print(f"\nThe files are in {display_path(self._out)}:\n", soft_wrap=True)
        self._console.print(table, soft_wrap=True)
        spent = before["available"] - after["available"]
        self._console.print(
            f"\nCredits: {before['available']} before, {after['available']} after ({spent} spent)."
        )
