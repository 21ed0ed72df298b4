"""Verifies signatures with the official library of Standard Webhooks: lines of JSON with secret, headers and body;
answers `ok`, or why not."""

import json
import sys

try:
    from standardwebhooks.webhooks import Webhook
except ImportError:
    sys.exit("the signature oracle needs the Python package standardwebhooks: pip install standardwebhooks")

for line in sys.stdin:
    call = json.loads(line)
    try:
        Webhook(call["secret"]).verify(call["body"], call["headers"])
        print("ok")
    except Exception as error:
        print(f"refused: {error}")
