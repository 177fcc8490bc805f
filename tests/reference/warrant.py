"""A warrant as a stranger verifies it: 176 bytes and smrd's key, no session (smr-session(7), WARRANT)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from codec import Reader, i64, u64
from refused import Refused
from schedule import to_sign


def to_warrant(session, number, request_hash, reply_hash, time):
    return to_sign("smr warrant 1", session, u64(number), request_hash, reply_hash, i64(time))


def verify_warrant(warrant, key):
    reader = Reader(warrant)
    session, number = reader.hash(), reader.u64()
    request_hash, reply_hash, time = reader.hash(), reader.hash(), reader.i64()
    signature = reader.take(64)
    reader.end()
    try:
        signed = to_warrant(session, number, request_hash, reply_hash, time)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature as error:
        raise Refused("the warrant does not verify") from error
