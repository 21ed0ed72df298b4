#!/usr/bin/env python3
"""Prints the webhooks that it gets, and refuses those whose signature is wrong. Python's standard library only.

    WEBHOOK_SECRET=whsec_... python3 docs/webhook_receiver.py [PORT]

The signature is that of Standard Webhooks 1.0.0 (standardwebhooks.com): HMAC-SHA-256 with the bytes behind `whsec_`, over
the id, the time and the body with dots between them. It has to be checked over the bytes of the body as they came.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

# An older or newer message may be one that somebody has kept and sends again.
TOLERANCE_S = 300


def key_of(secret):
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


def why_refused(key, headers, body, now_s):
    """Nothing where the message is from whoever has the secret, and from now."""
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(now_s - int(sent)) > TOLERANCE_S:
        return "webhook-timestamp is not of now"
    text = message_id.encode() + b"." + sent.encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    # While a secret is changed there are several, each with its version in front.
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected.encode()):
            return None
    return "webhook-signature is not of this body"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        refused = why_refused(self.server.key, self.headers, body, time.time())
        if refused:
            print(f"refused: {refused}", flush=True)
        else:
            event = json.loads(body)
            print(f"{self.headers['webhook-id']} {event.get('type')}", flush=True)
            print(json.dumps(event.get("data"), indent=2), flush=True)
        self.send_response(401 if refused else 204)
        self.end_headers()

    def log_message(self, *_):
        """What came is printed above."""


def main():
    secret = os.environ.get("WEBHOOK_SECRET")
    if not secret:
        sys.exit("WEBHOOK_SECRET must hold the secret of the endpoint (whsec_...)")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9999
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    try:
        server.key = key_of(secret)
    except ValueError:
        sys.exit("WEBHOOK_SECRET is no secret: whsec_ and base64")
    print(f"listening on http://127.0.0.1:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
