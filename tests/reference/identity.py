"""The identity document of smr-session(7), and the keys behind it. Never fetches one."""

import base64
import binascii
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kem import PUBLIC, check_public, mlkem_public, x25519_public
from refused import Refused, require
from schedule import sha256

LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"


@dataclass
class Identity:
    text: bytes
    name: str
    x25519: bytes
    mlkem768: bytes
    warrant: bytes
    postmark: bytes

    @property
    def fingerprint(self):
        """The 32 bytes; `spelled` is what people compare."""
        return sha256(self.text)

    @property
    def spelled(self):
        return "SHA256:" + base64.b64encode(self.fingerprint).decode().rstrip("=")


@dataclass
class ServerKeys:
    """smrd's secrets: an X25519 secret, an ML-KEM seed, two Ed25519 seeds."""

    name: str
    x25519: bytes
    mlkem768: bytes
    warrant: bytes
    postmark: bytes

    def identity(self):
        public = {
            "x25519": x25519_public(self.x25519),
            "mlkem768": mlkem_public(self.mlkem768),
            "warrant": Ed25519PrivateKey.from_private_bytes(self.warrant).public_key().public_bytes_raw(),
            "postmark": Ed25519PrivateKey.from_private_bytes(self.postmark).public_key().public_bytes_raw(),
        }
        lines = ["smr identity 1", f"name {self.name}"]
        lines += [f"{key} {base64.b64encode(value).decode()}" for key, value in public.items()]
        return read("".join(line + "\n" for line in lines).encode())


def read(document):
    """Takes a document apart; its one spelling only."""
    require(len(document) <= 4096, "the document is too long")
    try:
        lines = document.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Refused("the document is not text") from error
    require(len(lines) == 7 and lines[6] == "", "the document has not six lines")
    require(lines[0] == "smr identity 1", "another document, or another version")
    name = _value(lines[1], "name")
    require(len(name) <= 64 and re.fullmatch(rf"{LABEL}(\.{LABEL})*", name), "no repository's name")
    sizes = {"x25519": 32, "mlkem768": PUBLIC, "warrant": 32, "postmark": 32}
    keys = [_key(line, key, size) for line, (key, size) in zip(lines[2:6], sizes.items())]
    check_public(keys[1])
    return Identity(document, name, *keys)


def _value(line, key):
    require(line.startswith(key + " "), f"the line {key} is missing")
    return line[len(key) + 1 :]


def _key(line, key, size):
    spelled = _value(line, key)
    try:
        value = base64.b64decode(spelled, validate=True)
    except binascii.Error as error:
        raise Refused("the document's base64 is damaged") from error
    require(base64.b64encode(value).decode() == spelled, "base64 in another spelling")
    require(len(value) == size, f"{key} has another length")
    return value
