"""The keyed hashes of cardswitch, from the Python library and the published SipHash algorithm.

A line is: "pan", key in hex, digits; or "match", key in hex, then each part in hex with a leading
"=", or "-" for a part that the message lacks. The answer is the 128-bit hash in hex.
"""

import hashlib
import hmac
import sys

MASK = (1 << 64) - 1


def rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & MASK


def sip_round(v):
    v[0] = (v[0] + v[1]) & MASK
    v[2] = (v[2] + v[3]) & MASK
    v[1] = rotate(v[1], 13) ^ v[0]
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = rotate(v[0], 32)
    v[2] = (v[2] + v[1]) & MASK
    v[0] = (v[0] + v[3]) & MASK
    v[1] = rotate(v[1], 17) ^ v[2]
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = rotate(v[2], 32)


def siphash_2_4_128(key, message):
    k0, k1 = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    v = [k0, k1, k0, k1]
    for at, letters in enumerate((b"somepseu", b"dorandom", b"lygenera", b"tedbytes")):
        v[at] ^= int.from_bytes(letters, "big")
    v[1] ^= 0xEE
    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
    halves = []
    for lane, constant in ((2, 0xEE), (1, 0xDD)):
        v[lane] ^= constant
        for _ in range(4):
            sip_round(v)
        halves.append(v[0] ^ v[1] ^ v[2] ^ v[3])
    return halves[0] | halves[1] << 64


def with_length(part):
    if part == "-":
        return b"\xff" * 4
    part = bytes.fromhex(part[1:])
    return len(part).to_bytes(4, "little") + part


for line in sys.stdin:
    kind, key, *rest = line.split()
    key = bytes.fromhex(key)
    if kind == "pan":
        value = int.from_bytes(hmac.new(key, rest[0].encode(), hashlib.sha256).digest()[:16], "big")
    else:
        value = siphash_2_4_128(key, b"".join(map(with_length, rest)))
    print(f"{value:032x}")
