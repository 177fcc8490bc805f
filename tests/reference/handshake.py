"""The handshake of smr-session(7): three frames from both ends, each end a small state machine.

Frames are without their length. Randomness is given. What comes out is what a
session starts from; who the client is, another room judges.
"""

from dataclasses import dataclass

import kem
from codec import Reader, u8
from noise import Initiator, Responder
from refused import require
from schedule import expand, extract, sha256
from suite import NOISE_NAME

FIRST, SECOND = 32 + kem.PUBLIC + 16, 32 + kem.CIPHERTEXT + 16
INTRODUCTION = 61440


@dataclass
class Established:
    """What both ends know after frame 3."""

    suite: int
    k1: bytes
    k2: bytes
    h: bytes
    introduction: bytes


@dataclass
class ClientDraws:
    """static and encapsulation 32 bytes, mlkem 64, ephemerals 32 for each suite."""

    static: bytes
    encapsulation: bytes
    mlkem: bytes
    ephemerals: list


@dataclass
class ServerDraws:
    ephemeral: bytes
    encapsulation: bytes


def prologue(fingerprint, suites, ciphertext):
    return b"smr/1\nS" + fingerprint + u8(len(suites)) + bytes(suites) + ciphertext


def psk0(fingerprint, shared0):
    return expand(extract(fingerprint, shared0), "smr psk0 1", b"")


def psk3(frame1, shared3, suite):
    return expand(extract(sha256(frame1), shared3), "smr psk3 1", u8(suite))


class Client:
    """start -> frame 1 -> answer(frame 2) -> hash to sign -> finish(introduction) -> frame 3."""

    def __init__(self, identity, suites, draws):
        self.draws, self.suites = draws, list(suites)
        ciphertext, shared0 = kem.encapsulate(identity.mlkem768, draws.encapsulation)
        begin = prologue(identity.fingerprint, suites, ciphertext)
        key = psk0(identity.fingerprint, shared0)
        self.noise = {
            suite: Initiator(suite, begin, identity.x25519, draws.static, ephemeral, key)
            for suite, ephemeral in zip(suites, draws.ephemerals, strict=True)
        }
        public = kem.mlkem_public(draws.mlkem)
        firsts = [self.noise[suite].write_first(public) for suite in suites]
        self.frame1 = u8(len(suites)) + bytes(suites) + ciphertext + b"".join(firsts)

    def answer(self, frame2):
        reader = Reader(frame2)
        self.suite = reader.u8()
        require(self.suite in self.suites, "a suite that was not offered")
        message = reader.take(SECOND)
        reader.end()
        ciphertext = self.noise[self.suite].read_second(message)
        shared3 = kem.decapsulate(self.draws.mlkem, ciphertext)
        self.psk3 = psk3(self.frame1, shared3, self.suite)
        return self.noise[self.suite].state.h

    def finish(self, introduction):
        noise = self.noise[self.suite]
        frame3 = noise.write_third(introduction, self.psk3)
        return frame3, Established(self.suite, *noise.state.split(), noise.state.h, introduction)


class Server:
    """accept(frame 1) -> frame 2 -> finish(frame 3) -> the introduction, to be judged."""

    def __init__(self, keys, draws):
        self.keys, self.draws = keys, draws

    def accept(self, frame1):
        reader = Reader(frame1)
        count = reader.u8()
        require(1 <= count <= 8, "too many suites, or none")
        suites = list(reader.take(count))
        require(len(set(suites)) == count, "a suite is offered twice")
        ciphertext = reader.take(kem.CIPHERTEXT)
        firsts = {suite: reader.take(FIRST) for suite in suites}
        reader.end()
        self.suite = next((suite for suite in NOISE_NAME if suite in suites), None)
        require(self.suite is not None, "no suite in common")

        fingerprint = self.keys.identity().fingerprint
        shared0 = kem.decapsulate(self.keys.mlkem768, ciphertext)
        self.noise = Responder(
            self.suite,
            prologue(fingerprint, suites, ciphertext),
            self.keys.x25519,
            self.draws.ephemeral,
            psk0(fingerprint, shared0),
        )
        public = self.noise.read_first(firsts[self.suite])
        ciphertext3, shared3 = kem.encapsulate(public, self.draws.encapsulation)
        self.psk3 = psk3(frame1, shared3, self.suite)
        return u8(self.suite) + self.noise.write_second(ciphertext3)

    @property
    def hash_to_sign(self):
        return self.noise.state.h

    def finish(self, frame3):
        introduction = self.noise.read_third(frame3, self.psk3)
        require(1 <= len(introduction) <= INTRODUCTION, "an introduction of this length")
        return Established(self.suite, *self.noise.state.split(), self.noise.state.h, introduction)
