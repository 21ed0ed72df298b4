"""Receives webhooks and verifies them with the official library of Standard Webhooks. Says its port in the first line,
then `ok <id> <type>` for each call, or why it was refused. The secret comes in on the first line of standard input."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

try:
    from standardwebhooks.webhooks import Webhook
except ImportError:
    sys.exit("the receiver needs the Python package standardwebhooks: pip install standardwebhooks")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(Receiver.secret).verify(body, dict(self.headers))
            print("ok", event["id"], event["type"], flush=True)
            self.send_response(204)
        except Exception as error:
            print("refused", error, flush=True)
            self.send_response(400)
        self.end_headers()

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
Receiver.secret = sys.stdin.readline().strip()
server.serve_forever()
