"""The scenario of `test_openai_api`, with the released `openai` client."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any

import openai

OWN = "taskreel/image-generation"
SMALL = {"options": {"width": 64, "height": 64}}


def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    client = openai.OpenAI()
    image = client.images.generate(
        model="gpt-image-2", prompt="a kite", size="1024x1024", extra_body={"maxUsd": 1}
    )
    assert image.data is not None
    found["image"] = {
        "begins": list(base64.b64decode(image.data[0].b64_json or "")[:4]),
        "id": image._request_id,
    }
    picture = ("kite.png", base64.b64decode(image.data[0].b64_json or ""))
    edited = client.images.edit(
        model="gpt-image-2",
        image=[picture, picture],
        prompt="at night",
        size="1024x1024",
        extra_body={"maxUsd": 1},
    )
    assert edited.data is not None
    found["edited"] = {
        "begins": list(base64.b64decode(edited.data[0].b64_json or "")[:4]),
        "id": edited._request_id,
    }
    linked = client.images.generate(model="dall-e-3", prompt="a kite", n=2, quality="hd")
    assert linked.data is not None
    found["linked"] = [(one.url or "")[:5] for one in linked.data]
    found["asynchronous"] = asyncio.run(speak_later())
    speech = client.audio.speech.create(
        model="tts-1", input="The lamp is lit.", voice="alloy", response_format="wav", speed=1.5
    )
    found["speech"] = {
        "begins": speech.content[:4].decode(),
        "type": speech.response.headers["content-type"],
    }
    found["models"] = [one.id for one in client.models.list()]
    found["errors"] = collect_errors(client)
    return found


async def speak_later() -> int:
    async with openai.AsyncOpenAI() as client:
        speech = await client.audio.speech.create(model="tts-1", input="Lit.", voice="alloy")
        return len(speech.content)


def own_options(mode: str) -> dict[str, Any]:
    return {"options": {"width": 64, "height": 64, "studio": {"mode": mode}}}


def collect_errors(client: openai.OpenAI) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    asked: dict[str, dict[str, Any]] = {
        "size": {"model": "gpt-image-2", "size": "5x1024"},
        "word": {"model": "gpt-image-2", "size": "large"},
        "unknown": {"model": "gpt-image-9"},
        "speech": {"model": "tts-1"},
        "failed": {"model": OWN, "extra_body": own_options("fail-permanent")},
    }
    for name, fields in asked.items():
        try:
            client.images.generate(prompt="a kite", **fields)
        except openai.APIStatusError as error:
            body: Any = error.body
            errors[name] = {
                "class": type(error).__name__,
                "param": body["param"],
                "code": body["code"],
                "message": body["message"],
            }
    try:
        client.audio.speech.create(
            model="tts-1", input="Lit.", voice="alloy", response_format="pcm"
        )
    except openai.BadRequestError as error:
        errors["format"] = {"param": error.param}
    try:
        client.with_options(api_key="wrong").models.list()
    except openai.AuthenticationError as error:
        errors["unauthenticated"] = error.status_code
    poor = client.with_options(api_key=os.environ["POOR_TOKEN"])
    try:
        poor.images.generate(model="gpt-image-2", prompt="a kite")
    except openai.RateLimitError as error:
        errors["poor"] = error.type
    return errors


if __name__ == "__main__":
    print(json.dumps(main()))
