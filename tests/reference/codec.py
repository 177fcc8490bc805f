"""Bytes as smr-session(7), NOTATION, spells them. Knows no message.

A Reader takes every field strictly and must be used up.
"""

import re

from refused import Refused, require

# what stands before the first dot of a mailbox's name is none of these
RESERVED = {"con", "prn", "aux", "nul"} | {f"{word}{n}" for word in ("com", "lpt") for n in range(10)}


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


def i64(n):
    return n.to_bytes(8, "big", signed=True)


def short(data):
    """The type `bytes`: a u16 length, then so many bytes."""
    return u16(len(data)) + data


def long(data):
    return u32(len(data)) + data


def text(words):
    return short(words.encode())


def flag(is_set):
    return u8(1 if is_set else 0)


def option(encoded):
    """`encoded` is the bytes of what is there, or None."""
    return flag(False) if encoded is None else flag(True) + encoded


def listed(encoded):
    return u16(len(encoded)) + b"".join(encoded)


def check_name(name):
    require(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,31}", name), "no mailbox's name")
    require(".." not in name and not name.endswith("."), "no mailbox's name")
    require(name.split(".")[0] not in RESERVED, "a reserved name")
    return name


class Reader:
    """Takes fields off the front of `data`."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def end(self):
        require(self.at == len(self.data), "bytes are left over")

    def u8(self):
        return int.from_bytes(self.take(1), "big")

    def u16(self):
        return int.from_bytes(self.take(2), "big")

    def u32(self):
        return int.from_bytes(self.take(4), "big")

    def u64(self):
        return int.from_bytes(self.take(8), "big")

    def i64(self):
        return int.from_bytes(self.take(8), "big", signed=True)

    def short(self):
        return self.take(self.u16())

    def long(self):
        return self.take(self.u32())

    def text(self):
        try:
            return self.short().decode()
        except UnicodeDecodeError as error:
            raise Refused("text is not UTF-8") from error

    def name(self):
        return check_name(self.text())

    def hash(self):
        return self.take(32)

    def id(self):
        return self.take(16)

    def flag(self):
        value = self.u8()
        require(value <= 1, "a flag is neither 0 nor 1")
        return value == 1

    def option(self, one):
        return one() if self.flag() else None

    def listed(self, one):
        return [one() for _ in range(self.u16())]
