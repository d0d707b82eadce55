"""The scenario of `test_client_webhooks`: the released Python clients, and their user's server.

Replicate's client verifies what arrives; for fal the server does, by the steps of fal's documents.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fal_client
import httpx
import replicate
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SMALL = {"prompt": "a kite", "image_size": {"width": 64, "height": 64}}
FLUX = "black-forest-labs/flux-schnell"
OWN = "taskreel/image-generation"
FAILING = {"prompt": "a kite", "options": {"studio": {"mode": "fail-permanent"}}}
URL = f"http://127.0.0.1:{os.environ['RECEIVER_PORT']}"
SECONDS = 40

received: queue.Queue[tuple[str, dict[str, str], str]] = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        received.put((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        del args


def receive() -> tuple[str, dict[str, str], str]:
    return received.get(timeout=SECONDS)


def verify_for_fal(headers: dict[str, str], body: str) -> bool:
    """The steps of https://fal.ai/docs/documentation/model-apis/inference/webhooks, in order.

    But for the age: the server's clock is a virtual one.
    """
    keys = httpx.get(f"{os.environ['API_URL']}/fal/rest/.well-known/jwks.json").json()["keys"]
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, seconds, signature = (headers[f"x-fal-webhook-{name}"] for name in names)
    message = "\n".join([request_id, user_id, seconds, hashlib.sha256(body.encode()).hexdigest()])
    for key in keys:
        try:
            raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
            Ed25519PublicKey.from_public_bytes(raw).verify(
                bytes.fromhex(signature), message.encode()
            )
        except InvalidSignature:
            continue
        return True
    return False


def main() -> dict[str, Any]:
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["RECEIVER_PORT"])), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found: dict[str, Any] = {"fal": [], "replicate": []}

    for model, given in (("fal-ai/flux/schnell", SMALL), (OWN, FAILING)):
        handle = fal_client.submit(model, given, webhook_url=f"{URL}/fal")
        path, headers, body = receive()
        found["fal"].append(
            {
                "path": path,
                "id": handle.request_id,
                "message": json.loads(body),
                "user": headers["x-fal-webhook-user-id"],
                "named": headers["x-fal-webhook-request-id"],
                "valid": verify_for_fal(headers, body),
                "forged": verify_for_fal(headers, f"{body} "),
            }
        )

    secret = replicate.webhooks.default.secret()
    small = {"prompt": "a kite", "width": 64, "height": 64}
    prediction = replicate.predictions.create(
        model=FLUX,
        input=small,
        webhook=f"{URL}/replicate",
        webhook_events_filter=["start", "completed"],
        wait=False,
    )
    for _ in range(2):
        _, headers, body = receive()
        replicate.webhooks.validate(headers=headers, body=body, secret=secret)
        message = json.loads(body)
        found["replicate"].append(
            {"id": prediction.id, "message": message, "sent": headers["webhook-id"]}
        )
    forged = body.replace("a kite", "a site")
    try:
        replicate.webhooks.validate(headers=headers, body=forged, secret=secret)
    except ValueError as error:
        found["forged"] = str(error)
    server.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
