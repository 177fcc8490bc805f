"""Plays a vector from its inputs: both ends, joined in memory, and what they said.

Whoever makes vectors writes down what comes out; whoever checks them compares.
"""

import copy
from dataclasses import dataclass, field

import handshake
import messages
from schedule import REPLY, REQUEST
from session import Session


@dataclass
class Inputs:
    """Everything that is drawn, chosen or told by a clock."""

    keys: object  # identity.ServerKeys
    suites: list
    client: handshake.ClientDraws
    server: handshake.ServerDraws
    introduce: object  # from the hash to sign, the bytes of the introduction
    now: int


@dataclass
class Greeting:
    """Both ends after the handshake, and each before what it sends next."""

    frames: list
    to_sign: bytes
    introduction: bytes
    established: handshake.Established
    client: Session
    server: Session
    psk3: bytes


def greet(inputs):
    """The handshake; smrd is about to answer the introduction."""
    identity = inputs.keys.identity()
    client = handshake.Client(identity, inputs.suites, inputs.client)
    server = handshake.Server(inputs.keys, inputs.server)
    frame2 = server.accept(client.frame1)
    to_sign = client.answer(frame2)
    assert to_sign == server.hash_to_sign
    introduction = inputs.introduce(to_sign)
    frame3, established = client.finish(introduction)
    assert server.finish(frame3) == established
    return Greeting(
        [client.frame1, frame2, frame3],
        to_sign,
        introduction,
        established,
        Session(established, REQUEST, identity.warrant, inputs.now),
        Session(established, REPLY, inputs.keys.warrant, inputs.now),
        client.psk3,
    )


@dataclass
class Step:
    """A message to be said: its head, or the secrets of a renewal that make it."""

    head: bytes | None = None
    parts: list = field(default_factory=list)
    time: int | None = None
    renew: tuple | None = None  # the client's X25519 secret and ML-KEM seed
    renewed: tuple | None = None  # smrd's X25519 secret and randomness


def say(step, client, server, last):
    """Says one message; returns its frames and what was received. `last` came before."""
    sender, receiver = (server, client) if server.turn == REPLY else (client, server)
    head = step.head
    if step.renew:
        head = client.renew(*step.renew)
    if step.renewed:
        head = server.answer_renewal(last.head, *step.renewed)
    frames = sender.send(head, step.parts, step.time)
    received = [receiver.receive(frame) for frame in frames][-1]
    assert (received.head, received.body) == (head, b"".join(step.parts))
    if step.renewed:
        client.renewed(head, step.time)
    assert (client.transcript, client.chain, client.limit) == (
        server.transcript,
        server.chain,
        server.limit,
    )
    return frames, received


def before(inputs, steps, number):
    """Both ends just before message `number`, as copies that may be spoilt."""
    greeting, last = greet(inputs), None
    for step in steps[:number]:
        _, last = say(step, greeting.client, greeting.server, last)
    return copy.copy(greeting.client), copy.copy(greeting.server), last


def decodes(number, head):
    """Reads the head of a message; Refused where it makes none."""
    return messages.decode(messages.REPLIES if number % 2 == 0 else messages.REQUESTS, head)
