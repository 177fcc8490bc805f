"""The suites of smr-session(7): code, Noise name, AEAD, and the two ways of writing a nonce."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from refused import Refused

CHACHAPOLY, AES_GCM = 1, 2
NOISE_NAME = {
    CHACHAPOLY: b"Noise_XKpsk0+psk3_25519_ChaChaPoly_SHA256",
    AES_GCM: b"Noise_XKpsk0+psk3_25519_AESGCM_SHA256",
}
AEAD = {CHACHAPOLY: ChaCha20Poly1305, AES_GCM: AESGCM}


def noise_nonce(suite, count):
    """Noise, 12.3 and 12.4: little-endian for ChaChaPoly, big-endian for AESGCM."""
    return bytes(4) + count.to_bytes(8, "little" if suite == CHACHAPOLY else "big")


def chunk_nonce(count):
    """Of the session's chunks, big-endian under every suite."""
    return bytes(4) + count.to_bytes(8, "big")


def seal(suite, key, nonce, aad, plaintext):
    return AEAD[suite](key).encrypt(nonce, plaintext, aad)


def open_sealed(suite, key, nonce, aad, sealed):
    try:
        return AEAD[suite](key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError) as error:
        raise Refused("it does not open") from error
