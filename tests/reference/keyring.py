"""A key ring, opened with its passphrase: smr-keyring(5), over C2SP age with one scrypt stanza.

Writes none, and wipes nothing: for throw-away accounts of tests.
"""

import base64
import hmac
import tomllib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from refused import require
from schedule import sha256

CHUNK = 64 * 1024


class KeyRing:
    def __init__(self, path, passphrase):
        file = tomllib.loads(open_age(path.read_bytes(), passphrase.encode()).decode())
        require(file["version"] == 1, "a key ring of another version")
        self.account, _, self.repository = file["account"].partition("@")
        self.key = serialization.load_der_private_key(base64.b64decode(file["device_key"]), None)
        self.device = sha256(base64.b64decode(file["chain"][0]))

    def sign(self, data):
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


def open_age(sealed, passphrase):
    header, file_key, payload = _open_header(sealed, passphrase)
    require(
        hmac.compare_digest(hmac.digest(_derive(file_key, b"", b"header"), header[0], "sha256"), header[1]),
        "the header was altered",
    )
    return _open_payload(_derive(file_key, payload[:16], b"payload"), payload[16:])


def _open_header(sealed, passphrase):
    version, stanza, body, rest = sealed.split(b"\n", 3)
    require(version == b"age-encryption.org/v1", "no age file")
    arrow, kind, salt, work = stanza.split(b" ")
    require((arrow, kind) == (b"->", b"scrypt"), "not under a passphrase")
    mac, _, payload = rest.partition(b"\n")
    covered = sealed[: len(sealed) - len(rest)] + b"---"
    salt = b"age-encryption.org/v1/scrypt" + _unpadded(salt)
    wrapping = Scrypt(salt=salt, length=32, n=2 ** int(work), r=8, p=1).derive(passphrase)
    file_key = ChaCha20Poly1305(wrapping).decrypt(bytes(12), _unpadded(body), None)
    return (covered, _unpadded(mac.removeprefix(b"--- "))), file_key, payload


def _open_payload(key, sealed):
    plain, cipher = b"", ChaCha20Poly1305(key)
    pieces = [sealed[at : at + CHUNK + 16] for at in range(0, len(sealed), CHUNK + 16)]
    for count, piece in enumerate(pieces):
        is_last = count == len(pieces) - 1
        plain += cipher.decrypt(count.to_bytes(11, "big") + bytes([is_last]), piece, None)
    return plain


def _unpadded(digits):
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


def _derive(key, salt, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt or None, info=info).derive(key)
