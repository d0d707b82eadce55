"""Rules about the files of the bucket: none outlives the document that refers to it.

Two kinds of files may be left for a time, and the bucket's lifecycle removes them by their age:
what a run or a client wrote after its job or upload was gone, and what a removal left that broke
off between documents and files, which nobody was told had succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

NO_FILE_OUTLIVES = "no-file-outlives"


@dataclass
class FileWatch:
    """The paths of all files, and those that only their age removes."""

    #: Tells if a job (`artifacts`) or an upload (`uploads`) is stored.
    is_stored: Callable[[str, str], bool]
    #: Tells if its work goes on, so that it may get files.
    takes_files: Callable[[str, str], bool]
    paths: set[str] = field(default_factory=set)
    #: Written when nothing referred to them any more.
    late: set[str] = field(default_factory=set)
    #: The jobs and uploads whose removal was answered.
    _removed: set[str] = field(default_factory=set)

    def note_put(self, path: str) -> None:
        """Note that a file was stored."""
        self.paths.add(path)
        if self.takes_files(*split_path(path)):
            self.late.discard(path)
        else:
            self.late.add(path)

    def note_removal(self, owner: str) -> None:
        """Note that a document was removed: an answer about it says nothing of its successor."""
        self._removed.discard(owner)

    def note_deletion(self, prefix: str) -> None:
        """Note that all files under a prefix were deleted."""
        deleted = {path for path in self.paths if path.startswith(prefix)}
        self.paths -= deleted
        self.late -= deleted

    def check_removal(self, removed: Iterable[str]) -> Iterator[str]:
        """Yield the files of jobs and uploads whose removal has just been answered."""
        owners = set(removed)
        self._removed |= owners
        for path in sorted(self.paths - self.late):
            kind, owner = split_path(path)
            if owner in owners and not self.is_stored(kind, owner):
                yield f"{NO_FILE_OUTLIVES}: {path} is left, and its removal was answered"

    def list_left(self, was_removed: Callable[[str], bool]) -> Iterator[str]:
        """Yield the files to which nothing refers, but for those that only their age removes.

        `was_removed` tells if a user has asked to remove a job or an upload of that id.
        """
        for path in sorted(self.paths - self.late):
            kind, owner = split_path(path)
            broke_off = was_removed(owner) and owner not in self._removed
            if not broke_off and not self.is_stored(kind, owner):
                yield path


def split_path(path: str) -> tuple[str, str]:
    """The kind of a file, and the id of the job or the upload that it belongs to."""
    kind, owner, _ = path.split("/", 2)
    return kind, owner
