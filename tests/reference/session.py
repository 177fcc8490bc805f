"""A session after its handshake, from either end: smr-session(7), MESSAGES, WARRANT, RENEWAL.

Does no I/O and draws nothing: frames, times and secrets come in, frames and
messages go out. After a Refused it says and takes nothing any more. Whether a
head makes sense is for the codec of messages and its callers.
"""

from dataclasses import dataclass
from hmac import compare_digest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import kem
from codec import Reader, i64, short, u8, u64
from refused import Refused, require
from schedule import (
    REPLY,
    REQUEST,
    direction,
    expand,
    extract,
    hmac_sha256,
    limit,
    message_hash,
    message_keys,
    place,
    sha256,
)
from suite import chunk_nonce, open_sealed, seal
from warrant import to_warrant, verify_warrant

HEAD, BODY, CLOSE = 1, 2, 3
DATA = 61440
RENEW, RENEWED = 0x0E, 0x8C
CLIENT_SECONDS, SERVER_SECONDS = 120, 300


@dataclass
class Message:
    """A message that was closed, and so verified; `warrant` has 176 bytes, of a reply only."""

    number: int
    head: bytes
    body: bytes
    time: int | None
    warrant: bytes | None


class Session:
    """One end. `warrant_key` is smrd's seed at smrd, and its public key at the client."""

    def __init__(self, established, own, warrant_key, now):
        self.suite, self.own, self.warrant_key = established.suite, own, warrant_key
        root = extract(established.h, established.k1 + established.k2)
        self.id = expand(root, "smr session id 1", u8(self.suite))
        self.chain = expand(root, "smr first chain 1", u8(self.suite))
        self.request_hash = message_hash(REQUEST, established.introduction, b"")
        self.transcript = sha256(b"smr transcript 1\0\0" + self.id + self.request_hash)
        self.number = 0
        self.ended = False
        self.asked = self.answered = None
        self._begin_chain(now)
        self._forget()

    def _begin_chain(self, now):
        self.limit, self.used, self.since = limit(self.chain), 0, now

    def _forget(self):
        """Between two messages nothing of either is known."""
        self.ck = self.hk = self.head = None
        self.body, self.count = b"", 0

    @property
    def turn(self):
        """Whose message is due, or runs."""
        return direction(self.number)

    # one chunk

    def _step(self):
        self.chain, self.ck, self.hk = message_keys(self.chain, self.number, self.suite)
        self.used += 1

    def _nonce_and_aad(self):
        self.count += 1
        return chunk_nonce(self.count - 1), place(self.number) + self.id

    def _seal(self, kind, data):
        require(1 <= len(data) <= DATA, "a chunk of this length")
        return seal(self.suite, self.ck, *self._nonce_and_aad(), u8(kind) + data)

    def _open(self, frame):
        text = open_sealed(self.suite, self.ck, *self._nonce_and_aad(), frame)
        require(2 <= len(text) <= 1 + DATA, "a chunk of this length")
        return text[0], text[1:]

    # the close

    def _mac(self, digest, said):
        answered = self.request_hash if self.turn == REPLY else b""
        covered = place(self.number) + self.transcript + digest + answered + said
        return hmac_sha256(self.hk, b"smr close 1\0" + covered)

    def _closed(self, digest, mac):
        """The message is whole: the transcript goes on, and the turn is the other's."""
        covered = place(self.number) + self.transcript + digest + mac
        self.transcript = sha256(b"smr transcript 1\0" + covered)
        if self.turn == REQUEST:
            self.request_hash = digest
        self.number += 1
        self._forget()

    # a whole message

    def send(self, head, parts=(), time=None):
        """The frames of the message that is due from this end; a reply has a time."""
        require(not self.ended and self.turn == self.own, "it is not this end's turn")
        self._step()
        frames = [self._seal(HEAD, head)] + [self._seal(BODY, part) for part in parts]
        digest, said = message_hash(self.own, head, b"".join(parts)), b""
        if self.own == REPLY:
            key = Ed25519PrivateKey.from_private_bytes(self.warrant_key)
            signed = to_warrant(self.id, self.number, self.request_hash, digest, time)
            said = i64(time) + key.sign(signed)
        mac = self._mac(digest, said)
        frames.append(self._seal(CLOSE, said + mac))
        self._closed(digest, mac)
        if self.answered:
            self._mix(*self.answered, time)
        return frames

    def receive(self, frame):
        """Takes one frame: the whole Message with its last one, None before."""
        require(not self.ended and self.turn != self.own, "it is not the other's turn")
        try:
            return self._receive(frame)
        except Refused:
            self.ended = True
            raise

    def _receive(self, frame):
        if self.ck is None:
            self._step()
        kind, data = self._open(frame)
        if self.head is None:
            require(kind == HEAD, "a message begins with its head")
            spent = self.own == REPLY and self.used > self.limit + 1  # this message counts already
            require(not spent or data[0] == RENEW, "a renewal comes too late")
            self.head = data
        elif kind == BODY:
            self.body += data
        else:
            require(kind == CLOSE, "a chunk of a kind that is not due")
            return self._close(data)
        return None

    def _close(self, data):
        reader = Reader(data)
        said = reader.take(72) if self.turn == REPLY else b""
        mac = reader.take(32)
        reader.end()
        digest = message_hash(self.turn, self.head, self.body)
        require(compare_digest(mac, self._mac(digest, said)), "the close does not verify")
        time = warrant = None
        if self.turn == REPLY:
            time = Reader(said).i64()
            warrant = self.id + u64(self.number) + self.request_hash + digest + said
            verify_warrant(warrant, self.warrant_key)
        message = Message(self.number, self.head, self.body, time, warrant)
        self._closed(digest, mac)
        return message

    # renewal

    def renewal_due(self, now):
        """What a client asks itself before a request."""
        return self.used >= self.limit or now - self.since >= CLIENT_SECONDS

    def overdue(self, now):
        """What smrd asks itself of a request that has begun: all but Renew and Bye are refused."""
        return self.used > self.limit or now - self.since > SERVER_SECONDS

    def renew(self, x25519, mlkem):
        """The head of Renew, from a fresh secret and a fresh seed."""
        self.asked = (x25519, mlkem)
        return u8(RENEW) + kem.x25519_public(x25519) + short(kem.mlkem_public(mlkem))

    def renewed(self, head, now):
        """The client's step once the reply to Renew was closed."""
        x25519, mlkem = self.asked
        try:
            public, ciphertext = _two_keys(head, RENEWED)
            self._mix(kem.x25519(x25519, public), kem.decapsulate(mlkem, ciphertext), now)
        except Refused:
            self.ended = True
            raise

    def answer_renewal(self, head, x25519, randomness):
        """smrd's step: the head of Renewed; the new chain holds once that is closed."""
        try:
            public, mlkem = _two_keys(head, RENEW)
            shared = kem.x25519(x25519, public)
            ciphertext, secret = kem.encapsulate(mlkem, randomness)
            self.answered = (shared, secret)
        except Refused:
            self.ended = True
            raise
        return u8(RENEWED) + kem.x25519_public(x25519) + short(ciphertext)

    def _mix(self, x, m, now):
        self.chain = expand(extract(self.chain, x + m), "smr renew 1", self.transcript)
        self.asked = self.answered = None
        self._begin_chain(now)


def _two_keys(head, code):
    reader = Reader(head)
    require(reader.u8() == code, "no message of a renewal")
    first, second = reader.take(32), reader.short()
    reader.end()
    return first, second
