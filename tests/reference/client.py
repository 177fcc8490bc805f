"""A client of smrd: the socket, the clock and the randomness that the other rooms lack.

Speaks to one smrd, one request at a time; renews when it must. Small and slow.
"""

import os
import socket
import time

import handshake
import identity
from codec import u16
from messages import INTRODUCTIONS, REPLIES, REQUESTS, decode, encode
from refused import Refused, require
from schedule import REQUEST, to_sign
from session import DATA, Session

SECONDS = 30


class Connection:
    """Frames over TCP; a length of 0, or the end within a frame, is no frame."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), SECONDS)

    def say(self, data):
        self.socket.sendall(data)

    def send(self, frame):
        self.say(u16(len(frame)) + frame)

    def receive(self):
        length = int.from_bytes(self._take(2), "big")
        require(length > 0, "an empty frame")
        return self._take(length)

    def _take(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            require(more, "the connection ends")
            data += more
        return data

    def is_at_its_end(self):
        return self.socket.recv(1) == b""

    def close(self):
        self.socket.close()


def fetch_identity(address, fingerprint):
    """The identity document, if it is the one that is expected ("SHA256:...")."""
    connection = Connection(address)
    connection.say(b"smr/1\nI")
    found = identity.read(connection.receive())
    connection.close()
    require(found.spelled == fingerprint, f"another repository: {found.spelled}")
    return found


class Client:
    """A session, from the login to Bye. `sign` is the device's, over bytes."""

    def __init__(self, address, server, suites=(1, 2)):
        self.server = server
        self.connection = Connection(address)
        draws = handshake.ClientDraws(
            os.urandom(32), os.urandom(32), os.urandom(64), [os.urandom(32) for _ in suites]
        )
        self.shaking = handshake.Client(server, suites, draws)
        self.connection.say(b"smr/1\nS")
        self.connection.send(self.shaking.frame1)
        self.hash_to_sign = self.shaking.answer(self.connection.receive())

    def login(self, account, device, sign):
        """Logs in a device by H of its certificate; the Welcome."""
        signature = sign(to_sign("smr login 1", self.hash_to_sign, account.encode(), device))
        introduction = encode(INTRODUCTIONS, ("login", account, device, signature))
        frame3, established = self.shaking.finish(introduction)
        self.session = Session(established, REQUEST, self.server.warrant, time.monotonic())
        self.connection.send(frame3)
        welcome, _ = self._reply()
        require(welcome[0] == "welcome" and welcome[1] == account, f"not welcome: {welcome}")
        return welcome

    def ask(self, *request, body=b""):
        """One request and its reply: the reply, and the message it came in."""
        if self.session.renewal_due(time.monotonic()):
            self.renew()
        self._request(encode(REQUESTS, request), body)
        return self._reply()

    def renew(self):
        self._request(self.session.renew(os.urandom(32), os.urandom(64)))
        renewed, message = self._reply()
        require(renewed[0] == "renewed", f"not renewed: {renewed}")
        self.session.renewed(message.head, time.monotonic())

    def bye(self):
        done, _ = self.ask("bye")
        require(done == ("done",), f"no farewell: {done}")
        require(self.connection.is_at_its_end(), "smrd goes on after Bye")
        self.connection.close()

    def _request(self, head, body=b""):
        parts = [body[at : at + DATA] for at in range(0, len(body), DATA)]
        for frame in self.session.send(head, parts):
            self.connection.send(frame)

    def _reply(self):
        message = None
        while message is None:
            message = self.session.receive(self.connection.receive())
        return decode(REPLIES, message.head), message


def accepted(reply):
    """The reply, where it is no refusal."""
    if reply[0] == "refused":
        raise Refused(f"smrd refuses ({reply[1]}): {reply[2]}")
    return reply
