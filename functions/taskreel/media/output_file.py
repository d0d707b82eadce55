"""An output file of libav that is removed again when writing it fails."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

import av
import av.error

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class OutputFile:
    """A container being written, as a context. Subclasses add its streams and flush them.

    Leaving the context finishes the file. Leaving it by an error removes the unfinished file, so
    that nothing half-written is stored as a result.
    """

    def __init__(
        self, out: Path, *, container: str | None = None, options: dict[str, str] | None = None
    ) -> None:
        self._out = out
        self._container = av.open(str(out), "w", format=container, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # Closing an incomplete container may fail too; the first error is the one to report.
            with suppress(av.error.FFmpegError):
                self._container.close()
            self._out.unlink(missing_ok=True)
            return

        try:
            self._flush_streams()
        finally:
            self._container.close()

    def _flush_streams(self) -> None:
        """Write the frames that the encoders still hold."""
        raise NotImplementedError
