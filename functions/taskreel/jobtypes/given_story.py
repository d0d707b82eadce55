"""A story that a request brings along, and the files of its scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from taskreel.domain.value import Value
from taskreel.jobtypes.fields import MediaUrl

_LONGEST_PROMPT = 10_000


class StoryScene(Value):
    """A scene of a story; its `description` is what is seen."""

    model_config = ConfigDict(extra="allow")  # what else writers put into a scene is not used

    description: str | None = Field(default=None, max_length=10_000)
    narration: str | None = Field(default=None, max_length=10_000)
    title: str | None = Field(default=None, max_length=1000)

    @property
    def prompt(self) -> str:
        """The text that a picture or a clip of the scene is made from."""
        return self.description or self.narration or self.title or ""


def _as_scene(given: Any) -> Any:
    return {"description": given} if isinstance(given, str) else given


StoryScenes = list[Annotated[StoryScene, BeforeValidator(_as_scene)]]


class GivenStory(Value):
    """The result of a story or script job, or any object with `scenes`, or the text itself."""

    model_config = ConfigDict(extra="allow")

    title: str | None = Field(default=None, max_length=1000)
    text: str | None = Field(default=None, max_length=500_000)
    scenes: StoryScenes = Field(default_factory=list, max_length=100)


def _as_story(given: Any) -> Any:
    return {"text": given} if isinstance(given, str) else given


Story = Annotated[GivenStory, BeforeValidator(_as_story)]


def collect_scenes(*stories: GivenStory | None) -> list[StoryScene]:
    """The scenes of the first story that has any to show; its text is one where it has none."""
    for story in stories:
        scenes = [scene for scene in story.scenes if scene.prompt.strip()] if story else []
        if scenes:
            return scenes
        if story and story.text and story.text.strip():
            return [StoryScene(description=story.text[:_LONGEST_PROMPT])]
    return []


def _list_urls(given: Any) -> Any:
    """The URLs in a URL, a list, the result of a job, or an object of URLs by scene."""
    return list(_find_urls(given)) if isinstance(given, str | list | Mapping) else given


def _find_urls(given: Any) -> Iterator[Any]:
    match given:
        case {"url": str() as url} | {"ref": str() as url}:
            yield url
        case {"artifacts": list() as files}:
            for file in files:
                yield from _find_urls(file)
        case Mapping():
            for one in given.values():
                yield from _find_urls(one)
        case list():
            for one in given:
                yield from _find_urls(one)
        case _:
            yield given


#: Pictures as a client has them: URLs, objects with one, or the result of an image job.
Pictures = Annotated[list[MediaUrl], BeforeValidator(_list_urls)]


def name_output(path: str | None, default: str) -> str:
    """The artifact's name without suffix for an `outputPath`: its last part."""
    stem = PurePosixPath(path.replace("\\", "/")).stem if path else ""
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in stem) or default


#: A name for the result; folders before it have no meaning here.
OutputPath = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"\w", examples=["films/result.mp4"])
]
