"""A card network built on pyiso8583: one session with a switch, each step printed as a JSON line.

Usage: session.py HOST PORT PAN EXPIRY CVV2 BLOCKED_PAN
"""
import json
import socket
import struct
import sys

try:
    import iso8583
    import iso8583.specs
except ImportError:
    sys.exit("pip install pyiso8583")

HOST, PORT, PAN, EXPIRY, CVV2, BLOCKED = sys.argv[1:7]
SPEC = iso8583.specs.default_ascii


def exchange(peer, message):
    raw, _ = iso8583.encode(dict(message), SPEC)
    peer.sendall(struct.pack(">H", len(raw)) + raw)
    return receive(peer)


def receive(peer):
    length = struct.unpack(">H", exactly(peer, 2))[0]
    return iso8583.decode(exactly(peer, length), SPEC)[0]


def exactly(peer, count):
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            sys.exit("the switch closed the connection")
        data += part
    return data


def management(stan, code):
    return {"t": "0800", "7": "1124010203", "11": f"{stan:06}", "70": code}


def authorization(stan, amount, pan=PAN, mti="0100", **more):
    message = {
        "t": mti, "2": pan, "3": "000000", "4": f"{amount:012}", "7": "1124010203", "11": f"{stan:06}",
        "12": "010203", "13": "1124", "14": EXPIRY, "18": "7311", "22": "812", "25": "59", "32": "123456",
        "37": f"{stan:012}", "41": "TERM0001", "42": "MERCHANT0000001",
        "43": f"{'Ad Platform':<23}{'Dublin':<15}IE", "49": "840",
    }
    message.update({key.lstrip("f"): value for key, value in more.items()})
    return message


def reversal(stan, original, amount, mti="0400"):
    message = authorization(stan, amount, mti=mti)
    for field in ("14", "18", "22", "25", "43"):
        del message[field]
    message["37"] = f"{original:012}"
    message["90"] = f"0100{original:06}1124010203{123456:011}{0:011}"
    return message


STEPS = [
    ("sign-on", management(1, "001")),
    ("echo", management(2, "301")),
    ("approved", authorization(10, 1200)),
    ("repeat", authorization(10, 1200, mti="0101")),
    ("same key, other amount", authorization(10, 1300)),
    ("right CVV2", authorization(11, 100, f48=f"9203{CVV2}")),
    ("wrong CVV2", authorization(12, 100, f48=f"9203{(int(CVV2) + 1) % 1000:03}")),
    ("wrong expiry", authorization(13, 100, f14="2001")),
    ("blocked MCC", authorization(14, 100, pan=BLOCKED, f18="7995")),
    ("above the balance", authorization(15, 99999999)),
    ("unknown card", authorization(16, 100, pan="4111111111111111")),
    ("unknown BIN", authorization(17, 100, pan="5555555555554444")),
    ("reversal", reversal(20, 10, 1200)),
    ("reversal, repeated", reversal(20, 10, 1200, mti="0401")),
    ("reversal, doubled", reversal(21, 10, 1200)),
    ("reversal before its original", reversal(22, 23, 500)),
    ("original after its reversal", authorization(23, 500)),
    ("sign-off", management(3, "002")),
]

with socket.create_connection((HOST, int(PORT)), timeout=30) as peer:
    for name, message in STEPS:
        answer = exchange(peer, message)
        mirrored = all(answer[field] == message[field] for field in ("2", "4", "11", "37", "41") if field in message)
        print(json.dumps({"step": name, "mti": answer["t"], "code": answer["39"],
                          "approval_code": answer.get("38"), "mirrored": mirrored}))
