"""ML-KEM-768 (FIPS 203) and X25519 with secrets that are given, so that vectors repeat.

ML-KEM twice over: keys and decapsulation are those of `cryptography`, and
encapsulation is that of kyber-py, so each handshake tries one against the other.
"""

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from kyber_py.ml_kem import ML_KEM_768

from refused import Refused, require

PUBLIC, CIPHERTEXT = 1184, 1088


def mlkem_public(seed):
    """The encapsulation key of the seed d | z."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def check_public(public):
    """FIPS 203, 7.2: every coefficient below the modulus."""
    require(len(public) == PUBLIC, "an encapsulation key of another length")
    try:
        MLKEM768PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise Refused("no encapsulation key") from error


def encapsulate(public, randomness):
    """The ciphertext and the shared secret; `randomness` is m."""
    check_public(public)
    secret, ciphertext = ML_KEM_768._encaps_internal(public, randomness)
    return ciphertext, secret


def decapsulate(seed, ciphertext):
    require(len(ciphertext) == CIPHERTEXT, "a ciphertext of another length")
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError as error:  # the result is all zeros
        raise Refused("a Diffie-Hellman result of all zeros") from error
