"""Hashes, and the keys derived from them: smr-session(7), NOTATION and KEY SCHEDULE.

Keeps nothing: bytes in, bytes out.
"""

import hashlib
import hmac

from codec import long, u8, u64

REQUEST, REPLY = 1, 2


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac_sha256(key, data):
    return hmac.digest(key, data, "sha256")


def extract(salt, secret):
    return hmac_sha256(salt, secret)


def expand(key, label, context):
    return hmac_sha256(key, label.encode() + b"\0" + context + b"\1")


def to_sign(label, *fields):
    return b" " * 64 + label.encode() + b"\0" + b"".join(long(field) for field in fields)


def direction(number):
    """Even numbers are smrd's, odd ones the client's."""
    return REQUEST if number % 2 else REPLY


def place(number):
    """d | n, the direction and the number of a message."""
    return u8(direction(number)) + u64(number)


def message_keys(chain, number, suite):
    """The chain's next state, and ck and hk of the message."""
    mk = expand(chain, "smr message key 1", place(number))
    following = expand(chain, "smr next chain 1", b"")
    return following, expand(mk, "smr chunk key 1", u8(suite)), expand(mk, "smr close key 1", b"")


def limit(chain):
    """N, how many messages this chain serves."""
    return 64 + int.from_bytes(expand(chain, "smr limit 1", b"")[:8], "big") % 961


def message_hash(which, head, body):
    label = {REQUEST: "smr request 1", REPLY: "smr reply 1"}[which]
    return sha256(label.encode() + b"\0\1" + long(head) + b"\2" + body + u64(len(body)))
