"""`python -m taskreel_local.emulators.storage --port 9023 --bucket media`: run until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click
import uvicorn

from taskreel_local.emulators.storage import StorageServer


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9023, show_default=True)
@click.option(
    "--bucket", "buckets", multiple=True, help="Bucket to create at the start; repeatable."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Folder for objects; without it they are in memory.",
)
@click.option(
    "--public-key",
    type=click.Path(exists=True, path_type=Path),
    help="PEM file; signatures of signed URLs are verified with it.",
)
def main(
    host: str, port: int, buckets: tuple[str, ...], folder: Path | None, public_key: Path | None
) -> None:
    """Serve Cloud Storage's JSON API; clients need STORAGE_EMULATOR_HOST=http://HOST:PORT."""
    server = StorageServer(
        buckets=buckets, folder=folder, public_key=public_key.read_bytes() if public_key else None
    )
    uvicorn.run(
        server.create_app(), host=host, port=port, log_level="warning", lifespan="off", ws="none"
    )


if __name__ == "__main__":
    main()
