"""Noise, revision 34: the one pattern XKpsk0+psk3, from both ends.

    <- s
    ...
    -> psk, e, es
    <- e, ee
    -> s, se, psk

Every secret is given by the caller. Knows nothing of what the payloads mean.
"""

from kem import x25519, x25519_public
from refused import require
from schedule import hmac_sha256, sha256
from suite import NOISE_NAME, noise_nonce, open_sealed, seal

DH, TAG = 32, 16


class SymmetricState:
    """Noise, 5.2: the chaining key, the handshake hash and one cipher key."""

    def __init__(self, suite, prologue):
        self.suite = suite
        # the names are longer than a hash, so they are hashed
        self.ck = self.h = sha256(NOISE_NAME[suite])
        self.key = None
        self.count = 0
        self.mix_hash(prologue)

    def hkdf(self, material, outputs):
        """Noise, 4.3."""
        temp = hmac_sha256(self.ck, material)
        made, last = [], b""
        for n in range(1, outputs + 1):
            last = hmac_sha256(temp, last + bytes([n]))
            made.append(last)
        return made

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def mix_key(self, material):
        self.ck, self.key = self.hkdf(material, 2)
        self.count = 0

    def mix_key_and_hash(self, psk):
        self.ck, mixed, self.key = self.hkdf(psk, 3)
        self.mix_hash(mixed)
        self.count = 0

    def seal(self, plaintext):
        sealed = seal(self.suite, self.key, self._nonce(), self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        plaintext = open_sealed(self.suite, self.key, self._nonce(), self.h, sealed)
        self.mix_hash(sealed)
        return plaintext

    def _nonce(self):
        self.count += 1
        return noise_nonce(self.suite, self.count - 1)

    def split(self):
        return self.hkdf(b"", 2)


class Initiator:
    """The client's end."""

    def __init__(self, suite, prologue, server_public, static, ephemeral, psk0):
        self.state = SymmetricState(suite, prologue)
        self.static, self.ephemeral, self.psk0 = static, ephemeral, psk0
        self.server_public = server_public
        self.state.mix_hash(server_public)

    def write_first(self, payload):
        state, e = self.state, x25519_public(self.ephemeral)
        state.mix_key_and_hash(self.psk0)
        state.mix_hash(e)
        state.mix_key(e)  # 9.2: with a psk, e is mixed into the key as well
        state.mix_key(x25519(self.ephemeral, self.server_public))
        return e + state.seal(payload)

    def read_second(self, message):
        require(len(message) >= DH + TAG, "a Noise message too short")
        state, self.re = self.state, message[:DH]
        state.mix_hash(self.re)
        state.mix_key(self.re)
        state.mix_key(x25519(self.ephemeral, self.re))
        return state.open(message[DH:])

    def write_third(self, payload, psk3):
        state = self.state
        sealed = state.seal(x25519_public(self.static))
        state.mix_key(x25519(self.static, self.re))
        state.mix_key_and_hash(psk3)
        return sealed + state.seal(payload)


class Responder:
    """smrd's end."""

    def __init__(self, suite, prologue, static, ephemeral, psk0):
        self.state = SymmetricState(suite, prologue)
        self.static, self.ephemeral, self.psk0 = static, ephemeral, psk0
        self.state.mix_hash(x25519_public(static))

    def read_first(self, message):
        require(len(message) >= DH + TAG, "a Noise message too short")
        state, self.re = self.state, message[:DH]
        state.mix_key_and_hash(self.psk0)
        state.mix_hash(self.re)
        state.mix_key(self.re)
        state.mix_key(x25519(self.static, self.re))
        return state.open(message[DH:])

    def write_second(self, payload):
        state, e = self.state, x25519_public(self.ephemeral)
        state.mix_hash(e)
        state.mix_key(e)
        state.mix_key(x25519(self.ephemeral, self.re))
        return e + state.seal(payload)

    def read_third(self, message, psk3):
        require(len(message) >= DH + 2 * TAG, "a Noise message too short")
        state = self.state
        client_static = state.open(message[: DH + TAG])
        state.mix_key(x25519(self.ephemeral, client_static))
        state.mix_key_and_hash(psk3)
        return state.open(message[DH + TAG :])
