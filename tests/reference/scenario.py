"""What the vectors say: inputs as runs of one byte, and the messages of each.

Decides nothing about how it is spelled or sealed.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import handshake
from codec import listed, u64
from identity import ServerKeys
from messages import INTRODUCTIONS, REPLIES, REQUESTS, encode
from play import Inputs, Step
from schedule import sha256, to_sign

NOW = 1_800_000_000
ACCOUNT = "rui"
ID = bytes.fromhex("ab" * 16)


class Draws:
    """Each draw is a run of one byte: 01 01 ..., then 02 02 ..., and so on."""

    def __init__(self):
        self.drawn = 0

    def draw(self, count):
        self.drawn += 1
        return bytes([self.drawn]) * count


def device_key(secret):
    return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())


def sign(secret, data):
    """RFC 6979: the same signature each time."""
    return device_key(secret).sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


class Scenario:
    """One vector: who offers what, who is introduced, and which messages follow."""

    def __init__(self, suites, introduction):
        draws = Draws()
        draw = draws.draw
        keys = ServerKeys("repo.example", draw(32), draw(64), draw(32), draw(32))
        client = handshake.ClientDraws(draw(32), draw(32), draw(64), [draw(32) for _ in suites])
        server = handshake.ServerDraws(draw(32), draw(32))
        self.draws = draws
        self.device = draw(32)
        self.introduction = introduction
        self.inputs = Inputs(keys, suites, client, server, self._introduce, NOW)
        self.steps = [reply(NOW, "welcome", ACCOUNT, NOW + 43200, NOW)]

    def _introduce(self, hash_to_sign):
        self.signed, fields = self.introduction(hash_to_sign)
        return encode(INTRODUCTIONS, (*fields, sign(self.device, self.signed)))

    def renewal(self, time):
        draw = self.draws.draw
        self.steps.append(Step(renew=(draw(32), draw(64))))
        self.steps.append(Step(renewed=(draw(32), draw(32)), time=time))


def login(hash_to_sign):
    device = sha256(b"a device certificate")
    return to_sign("smr login 1", hash_to_sign, ACCOUNT.encode(), device), ("login", ACCOUNT, device)


def enrol(hash_to_sign):
    device, record = sha256(b"a device certificate"), b"an account record"
    fields = (hash_to_sign, ACCOUNT.encode(), device, sha256(record))
    return to_sign("smr enrol 1", *fields), ("enrol", record)


def join(hash_to_sign):
    chain = [b"a device certificate", b"a card's certificate"]
    fields = (hash_to_sign, ACCOUNT.encode(), sha256(chain[0]))
    return to_sign("smr join 1", *fields), ("join", ACCOUNT, chain)


def request(*message, parts=()):
    return Step(encode(REQUESTS, message), list(parts))


def reply(time, *message, parts=()):
    return Step(encode(REPLIES, message), list(parts), time)


def entry(seq, data):
    name = f"{seq:012}.{NOW + seq:011}.{ID.hex()}.ana,S={len(data)}"
    return f"{name},H={'A' * 43},C={'B' * 42}A"


def whole(suites):
    """A day of a client: a record, a renewal, a listing, a message, a refusal, another renewal."""
    first = entry(1, b"age")
    head = sha256(b"smr head 1\0" + bytes(32) + first.encode())
    scenario = Scenario(suites, login)
    scenario.steps += [
        request("publish", parts=[b"the ", b"record"]),
        reply(NOW + 1, "done"),
    ]
    scenario.renewal(NOW + 2)
    scenario.steps += [
        request("list", 1, 0, 50, 8192),
        reply(NOW + 3, "listing", [(first, 1, 3)], False, 1, head, bytes(32), parts=[b"age"]),
        request("watch", 1, 1, 900),
        reply(NOW + 4, "news", 1),
        request("fetch", 1, ID, None),
        reply(NOW + 4, "message", (first, 1, 0), parts=[b"a", b"ge"]),
        request("fetch", 1, bytes(16), None),
        reply(NOW + 5, "refused", 66, "there is no such message", ""),
    ]
    scenario.renewal(NOW + 6)
    scenario.steps += [request("bye"), reply(NOW + 7, "done")]
    return scenario


def short(suites, introduction):
    scenario = Scenario(suites, introduction)
    scenario.steps += [request("bye"), reply(NOW + 1, "done")]
    return scenario


# each with its file and what it shows
VECTORS = {
    "suite-1.txt": ("suite 1, out of both; a login and two renewals", lambda: whole([1, 2])),
    "suite-2.txt": ("suite 2, offered alone; a login and two renewals", lambda: whole([2])),
    "enrol.txt": ("an enrolment", lambda: short([1], enrol)),
    "join.txt": ("a join; suite 1, though 2 was offered first", lambda: short([2, 1], join)),
}
