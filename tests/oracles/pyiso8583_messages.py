#!/usr/bin/env python3
"""Random messages, encoded by pyiso8583 with specifications written here, one JSON object a line.

The specifications do not come from specs/*.toml: the 1987 one is pyiso8583's own `default_ascii`, the
others say again, in their own words, what each dialect is. Usage: pyiso8583_messages.py SEED COUNT
"""

import copy
import json
import random
import string
import sys

try:
    import iso8583
    import iso8583.specs
except ImportError:
    sys.exit("the oracle needs the Python package pyiso8583: run `pip install pyiso8583`")

DIGITS_1987 = set(range(2, 28)) | {32, 33, 53} | set(range(66, 91)) | {93, 99, 100}
SIGNED = {28, 29, 30, 31, 97}
LETTERS_AND_DIGITS = {37, 38, 39, 40, 49, 50, 51, 91, 92, 94, 95}
TRACK = {35, 36}
BINARY_1987 = {52: 8, 64: 8, 96: 8, 128: 8}


def field(data, length_of_length, longest, prefix="ascii", count="bytes", pad=""):
    return {
        "data_enc": data,
        "len_enc": prefix,
        "len_type": length_of_length,
        "len_count": count,
        "max_len": longest,
        "left_pad": pad,
        "desc": "",
    }


def envelope(spec, mti, bitmap, prefix="ascii"):
    spec["h"] = field("ascii", 0, 0)
    if mti == "b":
        spec["t"] = field("b", 0, 2, prefix)
    else:
        spec["t"] = field(mti, 0, 4, prefix)
    for key in ("p", "1"):
        spec[key] = field(bitmap, 0, 8 if bitmap == "b" else 16, prefix)


def classes_1987(spec):
    kinds = {}
    for key in spec:
        if not key.isdigit() or key in ("1", "65"):
            continue
        number = int(key)
        if number in BINARY_1987 or number == 55:
            kinds[number] = "b"
        elif number in SIGNED:
            kinds[number] = "x"
        elif number in TRACK:
            kinds[number] = "z"
        elif number in DIGITS_1987:
            kinds[number] = "n"
        elif number in LETTERS_AND_DIGITS:
            kinds[number] = "an"
        else:
            kinds[number] = "ans"
    return kinds


def ascii_1987():
    spec = copy.deepcopy(iso8583.specs.default_ascii)
    return spec, classes_1987(spec)


# Lengths of ISO 8583:1993 where they are not those of 1987: prefix digits, longest, class.
NEWER = """12:0:12:n 15:0:6:n 18:0:4:n 22:0:12:an 25:0:4:n 26:0:4:n 28:0:6:n 29:0:3:n 30:0:24:n 31:2:99:ans
39:0:3:n 40:0:3:n 43:2:99:ans 44:2:99:ans 46:3:204:ans 53:2:48:b 54:3:120:ans 56:2:35:n 57:0:3:n 58:2:11:n
59:3:999:ans 66:3:204:ans 71:0:8:n 72:3:999:ans 82:0:10:n 83:0:10:n 84:0:10:n 85:0:10:n 90:0:10:n 91:0:3:n
92:0:3:n 93:2:11:n 94:2:11:n 95:2:99:ans 96:3:499:b 97:0:17:x 99:2:11:an 105:0:16:n 106:0:16:n 107:0:10:n
108:0:10:n 109:2:84:ans 110:2:84:ans"""


def ascii_1993():
    spec, kinds = ascii_1987()
    for number in (28, 29, 30, 31):
        kinds.pop(number, None)
    for item in NEWER.split():
        number, prefix, longest, kind = item.split(":")
        longest = int(longest) * (2 if kind == "b" else 1)
        spec[number] = field("ascii", int(prefix), longest)
        kinds[int(number)] = kind
    return spec, kinds


def packed(spec, kinds):
    """BCD digits with a zero before an odd one, BCD prefixes, raw bitmaps and binary fields."""
    envelope(spec, "b", "b", "bcd")
    for number, kind in list(kinds.items()):
        old = spec[str(number)]
        prefix, longest = old["len_type"], old["max_len"]
        # pyiso8583 takes the number of bytes of a prefix: LL is one, LLL two.
        prefix = (prefix + 1) // 2
        if kind == "x":
            del kinds[number]
        elif kind in ("n", "z"):
            spec[str(number)] = field("b", prefix, longest, "bcd", "nibbles", "0")
        elif kind == "b":
            spec[str(number)] = field("b", prefix, longest // 2, "bcd")
        else:
            spec[str(number)] = field("ascii", prefix, longest, "bcd")
    return spec, kinds


def mastercard():
    spec, kinds = ascii_1987()
    envelope(spec, "cp500", "b", "cp500")
    changed = {32: (2, 6), 33: (2, 6), 60: (3, 60), 61: (3, 26), 62: (3, 100), 63: (3, 50), 127: (3, 100)}
    changed.update({123: (3, 512), 121: (3, 6)})
    kinds.update({94: "ans", 95: "n", 121: "n", 125: "b"})
    for number, kind in kinds.items():
        old = spec[str(number)]
        prefix, longest = changed.get(number, (old["len_type"], old["max_len"]))
        if number == 125:
            prefix, longest = 0, 16
        if kind == "b":
            spec[str(number)] = field("b", prefix, longest // 2, "cp500")
        else:
            spec[str(number)] = field("cp500", prefix, longest, "cp500")
    return spec, kinds


VISA_BYTES = """44:254 46:255 47:255 48:255 54:120 57:255 58:255 59:14 105:255 106:255 107:255 108:255 109:255
110:255 111:255 112:255 113:255 114:255 115:24 117:255 121:11 122:255 124:255 45:76 101:17 102:28 103:28"""
VISA_BINARY = "55 56 62 63 104 116 118 119 120 123 125 126 127".split()


def visa():
    """One binary byte for every prefix, two for that of F34; digits packed; text in EBCDIC."""
    spec, kinds = ascii_1987()
    envelope(spec, "b", "b", "b")
    kinds.update({49: "n", 50: "n", 51: "n"})
    longest = {int(k): int(v) for k, v in (item.split(":") for item in VISA_BYTES.split())}
    for number in list(kinds):
        old = spec[str(number)]
        prefix = 1 if old["len_type"] else 0
        most = longest.get(number, old["max_len"])
        if number == 34:
            kinds[number] = "b"
            spec[str(number)] = field("b", 2, 999, "b")
        elif str(number) in VISA_BINARY:
            kinds[number] = "b"
            spec[str(number)] = field("b", 1, 255, "b")
        elif kinds[number] == "b":
            spec[str(number)] = field("b", 0, most // 2, "b")
        elif number in (60, 61):
            # Counted in bytes: an even number of digits.
            kinds[number] = "nn"
            spec[str(number)] = field("b", 1, 6 if number == 60 else 18, "b")
        elif kinds[number] in ("n", "z"):
            if number == 22:
                most = 4
            spec[str(number)] = field("b", prefix, most, "b", "nibbles", "0")
        else:
            spec[str(number)] = field("cp037", prefix, most, "b")
    return spec, kinds


def dialects():
    return {
        "iso8583-1987-ascii": ascii_1987(),
        "iso8583-1987-binary": packed(*ascii_1987()),
        "iso8583-1993-ascii": ascii_1993(),
        "iso8583-1993-binary": packed(*ascii_1993()),
        "visa-base1": visa(),
        "mastercard-ebcdic": mastercard(),
    }


ALPHABETS = {
    "n": string.digits,
    "nn": string.digits,
    "an": string.ascii_letters + string.digits,
    "ans": "".join(chr(code) for code in range(0x20, 0x7F)),
    "b": "0123456789ABCDEF",
    "z": string.digits,
}


def value(random, spec, kind):
    most = spec["max_len"]
    as_hex_text = kind == "b" and spec["data_enc"] != "b"
    length = most if spec["len_type"] == 0 else random.randint(1, most)
    if kind == "x":
        return random.choice("CD") + "".join(random.choices(string.digits, k=length - 1))
    if kind == "nn":
        length *= 2
    if kind == "b" and not as_hex_text:
        length *= 2
    if as_hex_text:
        length -= length % 2
    text = "".join(random.choices(ALPHABETS[kind], k=length))
    if kind == "z" and length > 6:
        text = text[:4] + "=" + text[5:]
    return text


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    for name, (spec, kinds) in dialects().items():
        for _ in range(count):
            chosen = sorted(rng.sample(sorted(kinds), rng.randint(1, min(40, len(kinds)))))
            version = "1" if "1993" in name else "0"
            mti = version + rng.choice(["100", "110", "120", "200", "210", "400", "421", "800", "810"])
            texts = {n: value(rng, spec[str(n)], kinds[n]) for n in chosen}
            message = {"t": mti}
            for number, text in texts.items():
                packed_track = kinds[number] == "z" and spec[str(number)]["data_enc"] == "b"
                message[str(number)] = text.replace("=", "D") if packed_track else text
            raw, _ = iso8583.encode(message, spec)
            fields = {str(n): text for n, text in texts.items()}
            print(json.dumps({"dialect": name, "mti": mti, "hex": raw.hex(), "fields": fields}))


main()
