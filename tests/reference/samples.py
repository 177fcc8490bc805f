"""Introductions, requests and replies as bytes, one at least of each code, and damaged ones."""

import base64

from codec import short
from identity import ServerKeys
from messages import INTRODUCTIONS, REPLIES, REQUESTS, encode

ID, H1, H2 = b"\xab" * 16, b"\x01" * 32, b"\x02" * 32
ENTRY = f"000000000001.01800000000.{ID.hex()}.ana,S=3,H={'A' * 43},C={'B' * 42}A"

GOOD = [
    ("introduction", INTRODUCTIONS, [
        ("login", "rui", H1, b"signature"),
        ("enrol", b"record", b"signature"),
        ("join", "rui", [b"device", b"card"], b"signature"),
        ("join", "rui", [b"device"] * 8, b"signature"),
        ("card login", "rui", H1, b"authorisation", b"signature"),
    ]),
    ("request", REQUESTS, [
        ("ping",),
        ("bye",),
        ("account", "rui", None),
        ("account", "a.b-c_9", H1),
        ("publish",),
        ("users", None, 200),
        ("users", "rui", 0),
        ("offer", ID, 2**64 - 1, H1, H2, ["ana", "rui"]),
        ("deposit", ID),
        ("list", 1, 0, 50, 8192),
        ("list", 3, 2**64 - 1, 0, 0),
        ("find", "abababab"),
        ("find", "ab" * 16),
        ("fetch", 2, ID, None),
        ("fetch", 3, ID, "ana"),
        ("mark-read", ID),
        ("state", ID, ["ana"]),
        ("give-receipt", ID, 1000, H1, H2),
        ("renew", H1, b"\x03" * 1184),
        ("lists", [H1, H2]),
        ("keep-key", 7, 400),
        ("keys", None, 256),
        ("keys", (H1, 7), 1),
        ("watch", 1, 0, 900),
        ("watch", 3, 2**64 - 1, 1),
        ("remove", 2, ID),
        ("post", ID, 61440, H1, H2, ["ana"]),
        ("tally", 2),
    ]),
    ("reply", REPLIES, [
        ("welcome", "rui", 1_800_043_200, -1),
        ("done",),
        ("refused", 77, "not allowed", "ask the operator"),
        ("refused", 66, "there is no such message", ""),
        ("account", "rui", 0, []),
        ("account", "rui", 65536, [(1, H1, 900), (2, H2, 1400)]),
        ("users", [("ana", "ANA GIL", True), ("rui", "", False)], False),
        ("users", [], True),
        ("accepted", ID),
        ("postmarks", ["one note\n", "another\n"]),
        ("listing", [(ENTRY, 1, 3)], True, 9, H1, H2),
        ("listing", [(ENTRY, 4, 0)], False, 1, H1, bytes(32)),
        ("listing", [], False, 0, bytes(32), bytes(32)),
        ("found", [(1, ID), (2, ID)]),
        ("message", (ENTRY, 2, 0)),
        ("states", [("ana", 0), ("rui", 3)]),
        ("renewed", H1, b"\x04" * 1088),
        ("lists", [0, 1400]),
        ("keys", [(H1, 7, 400)], False),
        ("news", 2**64 - 1),
        ("tally", 100_000),
    ]),
]

NO_ENTRIES = [
    "",
    ENTRY.replace("000000000001", "000000000000"),
    ENTRY.replace("000000000001", "1"),
    ENTRY.replace("S=3", "S=03"),
    ENTRY.replace(".ana,", ".Ana,"),
    ENTRY.replace(ID.hex(), ID.hex().upper()),
    ENTRY[:-1] + "B",  # bits that mean nothing
    ENTRY + ",",
]

LONG_NAME = b"\x00\x21" + b"a" * 33

# why it is refused, and the bytes
DAMAGED = {
    "introduction": [
        ("a code that is none", b"\x00"),
        ("a code that is none", b"\xff"),
        ("too short", b"\x01\x00\x03rui" + H1 + b"\x00\x02s"),
        ("too long", b"\x01\x00\x03rui" + H1 + b"\x00\x01ss"),
        ("a name in capitals", b"\x01\x00\x03Rui" + H1 + b"\x00\x01s"),
        ("a chain of one", b"\x03\x00\x03rui\x00\x01\x00\x01d\x00\x01s"),
        ("a chain of nine", b"\x03\x00\x03rui\x00\x09" + b"\x00\x01d" * 9 + b"\x00\x01s"),
        ("an empty certificate", b"\x03\x00\x03rui\x00\x02\x00\x00\x00\x01d\x00\x01s"),
    ],
    "request": [
        ("nothing at all", b""),
        ("a code that is none", b"\x00"),
        ("a reply", b"\x82"),
        ("bytes left over", b"\x01\x00"),
        ("an option that is neither there nor not", b"\x03\x00\x03rui\x02" + H1),
        ("a name with a final dot", b"\x03\x00\x04rui.\x00"),
        ("a name with two dots", b"\x03\x00\x04r..i\x00"),
        ("a name that is reserved", b"\x03\x00\x05con.a\x00"),
        ("a name that is reserved", b"\x03\x00\x04com0\x00"),
        ("a name of 33 bytes", b"\x03" + LONG_NAME + b"\x00"),
        ("an empty name", b"\x03\x00\x00\x00"),
        ("a name that is no UTF-8", b"\x03\x00\x01\xff\x00"),
        ("a list cut short", b"\x06" + ID + bytes(8) + H1 + H2 + b"\x00\x02\x00\x03rui"),
        ("a folder that is none", b"\x08\x00" + bytes(14)),
        ("a folder that is none", b"\x08\x04" + bytes(14)),
        ("a watch of no folder", b"\x12\x04" + bytes(10)),
        ("a prefix of seven digits", b"\x09\x00\x07abababa"),
        ("a prefix of 33 digits", b"\x09\x00\x21" + b"a" * 33),
        ("a prefix in capitals", b"\x09\x00\x08ABABABAB"),
        ("an id of 15 bytes", b"\x07" + ID[:15]),
        ("no hashes of lists", b"\x0f\x00\x00"),
        ("65 hashes of lists", b"\x0f\x00\x41" + H1 * 65),
    ],
    "reply": [
        ("nothing at all", b""),
        ("a request", b"\x01"),
        ("bytes left over", b"\x82\x00"),
        ("a class that is none", b"\x83\x01\x00\x01w\x00\x00"),
        ("a flag of 2", b"\x85\x00\x00\x02"),
        ("words that are no UTF-8", b"\x83\x4d\x00\x01\xff\x00\x00"),
        ("a kind of list that is none", b"\x84\x00\x03rui" + bytes(4) + b"\x00\x01\x03" + H1 + bytes(4)),
        ("a state that is none", b"\x8a" + short(ENTRY.encode()) + b"\x05" + bytes(4)),
        *(("an entry that is none", b"\x8a" + short(name.encode()) + b"\x01" + bytes(4)) for name in NO_ENTRIES),
        ("progress that is none", b"\x8b\x00\x01\x00\x03ana\x04"),
        ("a folder that is none", b"\x89\x00\x01\x00" + ID),
    ],
}


def spelled():
    """Every good sample: its kind, its table's name for it, and its bytes."""
    return [(kind, message, encode(table, message)) for kind, table, all in GOOD for message in all]


def documents():
    """An identity document, and damaged ones with what is wrong."""
    keys = (b"\x01" * 32, b"\x02" * 64, b"\x03" * 32, b"\x04" * 32)
    good = ServerKeys("repo.example", *keys).identity().text
    lines = good.split(b"\n")
    mlkem = base64.b64encode(b"\xff" * 1184)
    damaged = [
        ("without its last line end", good[:-1]),
        ("with a line more", good + b"\n"),
        ("with a line less", b"\n".join(lines[:5]) + b"\n"),
        ("with CR", good.replace(b"\n", b"\r\n")),
        ("of another version", good.replace(b"identity 1", b"identity 2")),
        ("with two lines changed about", b"\n".join(lines[:4] + [lines[5], lines[4], b""])),
        ("with two spaces", good.replace(b"name ", b"name  ")),
        ("with a name in capitals", good.replace(b"repo", b"Repo")),
        ("with an empty label", good.replace(b"repo.", b"repo..")),
        ("with a hyphen first", good.replace(b"repo", b"-repo")),
        ("with a name of 65 bytes", good.replace(b"repo.example", b"a" * 65)),
        ("without padding", good.replace(b"=\n", b"\n", 1)),
        ("with a key too short", good.replace(lines[5], b"postmark " + base64.b64encode(bytes(31)))),
        ("with an encapsulation key that is none", good.replace(lines[3], b"mlkem768 " + mlkem)),
    ]
    return good, damaged
