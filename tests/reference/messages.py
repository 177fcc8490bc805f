"""Introductions, requests and replies of smr-session(7), each a tuple of its name and fields.

One table a kind: code, name and the types of its fields. Reading is strict.
What a request means, and whether it is legal, other rooms know.
"""

import base64
import re

import codec
from codec import Reader, check_name
from refused import require

# A type is a pair: how it is written, and how a Reader takes it.
U8 = (codec.u8, Reader.u8)
U16 = (codec.u16, Reader.u16)
U32 = (codec.u32, Reader.u32)
U64 = (codec.u64, Reader.u64)
I64 = (codec.i64, Reader.i64)
BYTES = (codec.short, Reader.short)
LONG = (codec.long, Reader.long)
TEXT = (codec.text, Reader.text)
FLAG = (codec.flag, Reader.flag)
NAME = (codec.text, Reader.name)
HASH = (bytes, Reader.hash)
ID = (bytes, Reader.id)


def OPTION(one):
    write, read = one
    return (
        lambda value: codec.option(None if value is None else write(value)),
        lambda reader: reader.option(lambda: read(reader)),
    )


def LIST(one):
    write, read = one
    return (
        lambda values: codec.listed([write(value) for value in values]),
        lambda reader: reader.listed(lambda: read(reader)),
    )


def TUPLE(*types):
    return (
        lambda values: b"".join(write(value) for (write, _), value in zip(types, values, strict=True)),
        lambda reader: tuple(read(reader) for _, read in types),
    )


def BETWEEN(least, most, one):
    """A number, or a list or bytes by length, within bounds."""
    write, read = one

    def checked(reader):
        value = read(reader)
        size = value if isinstance(value, int) else len(value)
        require(least <= size <= most, "a value that its type does not allow")
        return value

    return write, checked


def WHERE(holds, one):
    """A value of which something is true."""
    write, read = one

    def checked(reader):
        value = read(reader)
        require(holds(value), "a value that its type does not allow")
        return value

    return write, checked


def is_entry(text):
    """SEQ.TIME.ID.SENDER,S=SIZE,H=SHA256,C=CMS in its one spelling."""
    found = re.fullmatch(
        r"(\d{12})\.\d{11}\.[0-9a-f]{32}\.([^,]+),S=(0|[1-9]\d*),H=([\w-]{43}),C=([\w-]{43})",
        text,
        re.ASCII,
    )
    require(found and int(found[1]) > 0 and int(found[3]) < 2**64, "no entry")
    check_name(found[2])
    for spelled in found[4], found[5]:
        digest = base64.urlsafe_b64decode(spelled + "=")
        require(base64.urlsafe_b64encode(digest).decode() == spelled + "=", "no entry")
    return True


def is_prefix(text):
    return re.fullmatch(r"[0-9a-f]{8,32}", text)


def is_chain(chain):
    return sum(map(len, chain)) <= 57344


FOLDER = BETWEEN(1, 3, U8)
ENTRY = TUPLE(WHERE(is_entry, TEXT), BETWEEN(1, 4, U8), U32)
CHAIN = WHERE(is_chain, BETWEEN(2, 8, LIST(BETWEEN(1, 16384, BYTES))))

CLASSES = {64, 65, 66, 67, 69, 70, 73, 74, 75, 76, 77, 78}

INTRODUCTIONS = {
    0x01: ("login", NAME, HASH, BYTES),
    0x02: ("enrol", LONG, BYTES),
    0x03: ("join", NAME, CHAIN, BYTES),
    0x04: ("card login", NAME, HASH, LONG, BYTES),
}

REQUESTS = {
    0x01: ("ping",),
    0x02: ("bye",),
    0x03: ("account", NAME, OPTION(HASH)),
    0x04: ("publish",),
    0x05: ("users", OPTION(NAME), U16),
    0x06: ("offer", ID, U64, HASH, HASH, LIST(NAME)),
    0x07: ("deposit", ID),
    0x08: ("list", FOLDER, U64, U16, U32),
    0x09: ("find", WHERE(is_prefix, TEXT)),
    0x0A: ("fetch", FOLDER, ID, OPTION(NAME)),
    0x0B: ("mark-read", ID),
    0x0C: ("state", ID, LIST(NAME)),
    0x0D: ("give-receipt", ID, U64, HASH, HASH),
    0x0E: ("renew", HASH, BYTES),
    0x0F: ("lists", BETWEEN(1, 64, LIST(HASH))),
    0x10: ("keep-key", U64, U32),
    0x11: ("keys", OPTION(TUPLE(HASH, U64)), U16),
    0x12: ("watch", FOLDER, U64, U16),
    0x13: ("remove", FOLDER, ID),
    0x14: ("post", ID, U64, HASH, HASH, LIST(NAME)),
    0x15: ("tally", FOLDER),
}

REPLIES = {
    0x81: ("welcome", NAME, I64, I64),
    0x82: ("done",),
    0x83: ("refused", WHERE(CLASSES.__contains__, U8), TEXT, TEXT),
    0x84: ("account", NAME, U32, LIST(TUPLE(BETWEEN(1, 2, U8), HASH, U32))),
    0x85: ("users", LIST(TUPLE(NAME, TEXT, FLAG)), FLAG),
    0x86: ("accepted", ID),
    0x87: ("postmarks", LIST(TEXT)),
    0x88: ("listing", LIST(ENTRY), FLAG, U64, HASH, HASH),
    0x89: ("found", LIST(TUPLE(FOLDER, ID))),
    0x8A: ("message", ENTRY),
    0x8B: ("states", LIST(TUPLE(NAME, BETWEEN(0, 3, U8)))),
    0x8C: ("renewed", HASH, BYTES),
    0x8D: ("lists", LIST(U32)),
    0x8E: ("keys", LIST(TUPLE(HASH, U64, U32)), FLAG),
    0x8F: ("news", U64),
    0x90: ("tally", U64),
}

def encode(table, message):
    code, types = next((code, row[1:]) for code, row in table.items() if row[0] == message[0])
    return codec.u8(code) + TUPLE(*types)[0](message[1:])


def decode(table, head):
    reader = Reader(head)
    code = reader.u8()
    require(code in table, "an unknown code")
    message = (table[code][0],) + TUPLE(*table[code][1:])[1](reader)
    reader.end()
    return message
