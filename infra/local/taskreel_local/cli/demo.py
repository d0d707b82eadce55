"""`taskreel demo`: four jobs through the public API, or a whole movie, and the resulting files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from taskreel.client import Account, AsyncTaskreel, File, Job, Status
from taskreel.client.api_calls import choose_path
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
        async with AsyncTaskreel(stack.url, token) as client:
            demo = _Demo(client, prompt, out, console)
            await (demo.make_movie() if movie else demo.make_files())
    finally:
        with console.status("Stopping the stack…"):
            await stack.__aexit__(None, None, None)


class _Demo:
    """The jobs of the demo, their progress bars and their files."""

    def __init__(self, client: AsyncTaskreel, prompt: str, out: Path, console: Console) -> None:
        self._client = client
        self._prompt = prompt
        self._out = out
        self._console = console
        self._rows: list[tuple[str, File, Path]] = []
        self._bars = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[status]:<11}"),
            TimeElapsedColumn(),
            console=console,
        )

    async def make_files(self) -> None:
        before = await self._client.account()
        with self._bars:
            image = await self._run_job(
                "image-generation",
                {**self._prompt_fields(), "options": {"width": 1024, "height": 768}},
            )
            source = f"job:{image.job_id}/image.png"
            await asyncio.gather(
                self._run_job(
                    "image-upscale",
                    {"imageUrl": image.files[0].url, "scale": 2},
                ),
                self._run_job("batch-generation", self._batch_body()),
                self._run_job(
                    "video-generation",
                    {**self._prompt_fields(), "imageUrls": [source], "options": {"duration": 5}},
                ),
            )
        self._print_report(before, await self._client.account())

    async def make_movie(self) -> None:
        """Make a movie from one line, and print its story."""
        before = await self._client.account()
        with self._bars:
            body = {
                "prompt": self._prompt,
                "num_sequences": _SCENES,
                "options": {"resolution": "720p", "fps": 24},
            }
            movie = await self._run_job("movie-creation", body)
        result = (movie.result and movie.result.model_extra) or {}
        self._console.print(f"\n[bold]{result['title']}[/]  {result['story']['logline']}\n")
        for scene in result["story"]["scenes"]:
            self._console.print(f"  {scene['narration']}")
        if result.get("note"):
            self._console.print(f"\n{result['note']}")
        self._print_report(before, await self._client.account())

    def _prompt_fields(self) -> dict[str, Any]:
        return {"prompt": self._prompt, "provider": "studio"}

    def _batch_body(self) -> dict[str, Any]:
        prompts = [f"{self._prompt}, {mood}" for mood in ("at sunset", "in the snow", "at night")]
        options = {"width": 768, "height": 512, "outputFormat": "jpeg"}
        return {"prompts": prompts, "batchSize": 3, "provider": "studio", "options": options}

    async def _run_job(self, job_type: str, body: dict[str, Any]) -> Job:
        bar = self._bars.add_task(job_type, total=100, status="SUBMITTING")
        job = await self._client.submit(job_type, body)
        async for state in self._client.stream(job):
            job = state
            self._bars.update(bar, completed=job.progress, status=job.status)
        if job.status != Status.COMPLETED:
            reason = job.error.message if job.error else "no reason given"
            raise DemoError(f"{job_type} ended as {job.status}: {reason}")
        for file in job.files:
            path = await self._client.download_file(file, choose_path(self._out, file))
            self._rows.append((job_type, file, path))
        return job

    def _print_report(self, before: Account, after: Account) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("job", "size", "length", "file"):
            table.add_column(column, no_wrap=True)
        for job_type, file, path in sorted(self._rows, key=lambda row: row[0]):
            length = file.duration_seconds
            table.add_row(
                job_type,
                f"{file.width}×{file.height}",
                f"{length:.1f} s" if length else "",
                path.name,
            )
        self._console.print(f"\nThe files are in {display_path(self._out)}:\n", soft_wrap=True)
        self._console.print(table, soft_wrap=True)
        spent = before.available - after.available
        self._console.print(
            f"\nCredits: {before.available} before, {after.available} after ({spent} spent)."
        )
