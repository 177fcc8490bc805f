"""What a receiver must refuse: altered on the way, or well sealed by a peer that lies.

Each case is played up to a frame, and then goes wrong. Whether it was refused
is for the checker to say.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import handshake
import kem
from codec import i64, short, u8
from identity import ServerKeys
from messages import REPLIES, REQUESTS, encode
from noise import Initiator, Responder
from play import before, greet, say
from schedule import REPLY, message_hash
from session import BODY, CLOSE, HEAD, RENEW, RENEWED
from suite import seal
from warrant import to_warrant

ZERO = bytes(32)
NO_KEY = b"\xff" * kem.PUBLIC  # every coefficient above the modulus
PING, DONE = encode(REQUESTS, ("ping",)), encode(REPLIES, ("done",))


@dataclass
class Case:
    """`frames` come after the first `after` of the vector; the last is refused by `to`."""

    why: str
    to: str
    after: int
    frames: list


def flip(frame, at):
    """One bit the other way; a negative `at` counts from the end."""
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


def cases(make):
    """All cases of a vector; `make` makes its scenario."""
    return (
        first_frames(make()) + second_frames(make()) + third_frames(make())
        + welcomes(make()) + requests(make()) + renewals(make())
    )


# frame 1, to smrd


def first_frames(vector):
    inputs, identity = vector.inputs, vector.inputs.keys.identity()
    suites, frame = inputs.suites, greet(inputs).frames[0]
    codes, messages = 1 + len(suites), 1 + len(suites) + kem.CIPHERTEXT
    # the message under the suite that smrd takes: the lower code
    taken = messages + suites.index(min(suites)) * handshake.FIRST

    def case(why, frame):
        return Case(why, "smrd", 0, [frame])

    def client(**other):
        return handshake.Client(identity, suites, _with(inputs.client, **other))

    strange = ServerKeys("other.example", *(bytes([n]) * size for n, size in zip(range(90, 94), (32, 64, 32, 32))))
    for_another = handshake.Client(strange.identity(), suites, inputs.client)
    found = [
        case("no suites", u8(0) + frame[codes:]),
        case("one suite twice", bytes([2, 1, 1]) + frame[codes : messages] + frame[-handshake.FIRST :] * 2),
        case("more suites than messages", u8(9) + bytes(range(1, 10)) + frame[codes:]),
        case("another code beside, unsealed", bytes([codes]) + frame[1:codes] + b"\x09" + frame[codes:] + bytes(handshake.FIRST)),
        case("only suites that smrd does not know", bytes([1, 9]) + frame[codes : messages] + frame[messages : messages + handshake.FIRST]),
        case("a bit of the ciphertext", flip(frame, codes)),
        case("a bit of the ephemeral key", flip(frame, taken)),
        case("a bit of the sealed payload", flip(frame, taken + 32)),
        case("a bit of the tag", flip(frame, taken + handshake.FIRST - 1)),
        case("cut by one byte", frame[:-1]),
        case("one byte longer", frame + b"\0"),
        case("for another repository", for_another.frame1),
        case("an ephemeral key that gives all zeros", _zero_ephemeral(inputs)),
        case("well sealed, an encapsulation key that is none", _no_key(inputs)),
    ]
    if len(suites) > 1:
        alone = u8(1) + u8(suites[-1]) + frame[codes:messages] + frame[-handshake.FIRST :]
        found.append(case("the better suite taken out of the offer", alone))
        swapped = frame[:1] + frame[1:codes][::-1] + frame[codes:]
        found.append(case("the suites in another order", swapped))
    return found


def _with(draws, **other):
    return handshake.ClientDraws(**{**vars(draws), **other})


def _offer(inputs, payload, spoil):
    """Frame 1 by a client that seals `payload`; `spoil` alters each Noise state first."""
    identity, draws, suites = inputs.keys.identity(), inputs.client, inputs.suites
    ciphertext, shared0 = kem.encapsulate(identity.mlkem768, draws.encapsulation)
    begin = handshake.prologue(identity.fingerprint, suites, ciphertext)
    key = handshake.psk0(identity.fingerprint, shared0)
    messages = b""
    for suite, ephemeral in zip(suites, draws.ephemerals):
        noise = Initiator(suite, begin, identity.x25519, draws.static, ephemeral, key)
        messages += spoil(noise, payload)
    return u8(len(suites)) + bytes(suites) + ciphertext + messages


def _zero_ephemeral(inputs):
    """A client whose e is a point of low order knows es without a secret."""

    def spoil(noise, payload):
        noise.state.mix_key_and_hash(noise.psk0)
        noise.state.mix_hash(ZERO)
        noise.state.mix_key(ZERO)
        noise.state.mix_key(ZERO)
        return ZERO + noise.state.seal(payload)

    return _offer(inputs, kem.mlkem_public(inputs.client.mlkem), spoil)


def _no_key(inputs):
    return _offer(inputs, NO_KEY, lambda noise, payload: noise.write_first(payload))


# frame 2, to the client


def second_frames(vector):
    inputs = vector.inputs
    frame = greet(inputs).frames[1]
    found = [
        ("a suite that was not offered", b"\x09" + frame[1:]),
        ("a bit of the ephemeral key", flip(frame, 1)),
        ("a bit of the sealed payload", flip(frame, 33)),
        ("cut by one byte", frame[:-1]),
        ("one byte longer", frame + b"\0"),
        ("an ephemeral key that gives all zeros", _zero_answer(inputs)),
        ("nothing but a suite", frame[:1]),
    ]
    if len(inputs.suites) > 1:
        other = inputs.suites[1 - inputs.suites.index(frame[0])]
        found.append(("the other suite", u8(other) + frame[1:]))
    return [Case(why, "client", 1, [frame]) for why, frame in found]


def _zero_answer(inputs):
    noise = _at_second(inputs)
    noise.state.mix_hash(ZERO)
    noise.state.mix_key(ZERO)
    noise.state.mix_key(ZERO)
    return u8(noise.state.suite) + ZERO + noise.state.seal(bytes(kem.CIPHERTEXT))


def _at_second(inputs):
    """smrd's Noise after it has read the first message."""
    frame, keys = greet(inputs).frames[0], inputs.keys
    count = len(inputs.suites)
    ciphertext = frame[1 + count : 1 + count + kem.CIPHERTEXT]
    suite = min(inputs.suites)
    at = 1 + count + kem.CIPHERTEXT + inputs.suites.index(suite) * handshake.FIRST
    fingerprint = keys.identity().fingerprint
    begin = handshake.prologue(fingerprint, inputs.suites, ciphertext)
    key = handshake.psk0(fingerprint, kem.decapsulate(keys.mlkem768, ciphertext))
    noise = Responder(suite, begin, keys.x25519, inputs.server.ephemeral, key)
    noise.read_first(frame[at : at + handshake.FIRST])
    return noise


# frame 3, to smrd


def third_frames(vector):
    inputs = vector.inputs
    frame, introduction = greet(inputs).frames[2], greet(inputs).introduction

    def sealed(introduction):
        client = handshake.Client(inputs.keys.identity(), inputs.suites, inputs.client)
        client.answer(greet(inputs).frames[1])
        return client.finish(introduction)[0]

    found = [
        ("a bit of the static key", flip(frame, 0)),
        ("a bit of the introduction", flip(frame, 48)),
        ("a bit of the tag", flip(frame, -1)),
        ("cut by one byte", frame[:-1]),
        ("one byte longer", frame + b"\0"),
        ("a static key that gives all zeros", _zero_static(inputs, introduction)),
        ("well sealed, an empty introduction", sealed(b"")),
        ("well sealed, an introduction of no kind", sealed(b"\x09" + introduction[1:])),
        ("well sealed, an introduction cut by one byte", sealed(introduction[:-1])),
        ("well sealed, an introduction one byte longer", sealed(introduction + b"\0")),
    ]
    return [Case(why, "smrd", 2, [frame]) for why, frame in found]


def _zero_static(inputs, introduction):
    client = handshake.Client(inputs.keys.identity(), inputs.suites, inputs.client)
    client.answer(greet(inputs).frames[1])
    state = client.noise[client.suite].state
    sealed = state.seal(ZERO)
    state.mix_key(ZERO)
    state.mix_key_and_hash(client.psk3)
    return sealed + state.seal(introduction)


# message 0, to the client


def welcomes(vector):
    inputs, step = vector.inputs, vector.steps[0]
    after = 3

    def forged(seed=None, request_hash=None, number=None, time=None, mac=None):
        """A reply whose close is sealed and consistent, but for one thing."""
        _, smrd, _ = before(inputs, vector.steps, 0)
        smrd._step()
        digest = message_hash(REPLY, step.head, b"")
        key = Ed25519PrivateKey.from_private_bytes(seed or inputs.keys.warrant)
        number = smrd.number if number is None else number
        answered = request_hash or smrd.request_hash
        signed = to_warrant(smrd.id, number, answered, digest, time or step.time)
        said = i64(step.time) + key.sign(signed)
        mac = mac or smrd._mac(digest, said)
        return [smrd._seal(HEAD, step.head), smrd._seal(CLOSE, said + mac)]

    _, smrd, _ = before(inputs, vector.steps, 0)
    head, close = smrd.send(step.head, step.parts, step.time)
    found = [
        ("the warrant of another key", forged(seed=b"\x77" * 32)),
        ("the warrant of another request's reply", forged(request_hash=ZERO)),
        ("the warrant of another number", forged(number=2)),
        ("the warrant of another time", forged(time=step.time + 1)),
        ("well sealed, a mac that is none", forged(mac=ZERO)),
        ("a bit of the head", [flip(head, 0)]),
        ("a bit of the close", [head, flip(close, 0)]),
        ("the head twice", [head, head]),
        ("the close first", [close]),
    ]
    return [Case(why, "client", after, frames) for why, frames in found]


# message 1, to smrd


def requests(vector):
    inputs, steps = vector.inputs, vector.steps
    number, after = 1, 5
    head, parts = steps[number].head, steps[number].parts

    def sealed(*chunks):
        """Chunks of a client that knows its keys but not the rules."""
        client, _, _ = before(inputs, steps, number)
        client._step()
        return [client._seal(kind, data) for kind, data in chunks]

    def empty(text):
        client, _, _ = before(inputs, steps, number)
        client._step()
        client._seal(HEAD, head)
        chunk = seal(client.suite, client.ck, *client._nonce_and_aad(), text)
        return [*sealed((HEAD, head)), chunk]

    def closed(spoil):
        client, _, _ = before(inputs, steps, number)
        client._step()
        frames = [client._seal(HEAD, head)]
        mac = client._mac(message_hash(1, head, b""), b"")
        return frames + [client._seal(CLOSE, spoil(mac))]

    client, smrd, last = before(inputs, steps, number)
    frames, _ = say(steps[number], client, smrd, last)
    reflected = greet(inputs).server.send(steps[0].head, steps[0].parts, steps[0].time)
    client, smrd, last = before(inputs, steps, 5)
    later, _ = say(steps[5], client, smrd, last)
    found = [
        ("a bit of the head", [flip(frames[0], 1)]),
        ("a bit of the body", [frames[0], flip(frames[1], 0)]),
        ("a bit of the close", [*frames[:-1], flip(frames[-1], -1)]),
        ("a frame cut by one byte", [frames[0][:-1]]),
        ("a frame shorter than a tag", [frames[0][:15]]),
        ("a part of the body left out", [frames[0], frames[2]]),
        ("the body left out", [frames[0], frames[-1]]),
        ("a part of the body twice", [frames[0], frames[1], frames[1]]),
        ("the head left out", [frames[1]]),
        ("smrd's own frame, reflected", [reflected[0]]),
        ("the head of a later message", [later[0]]),
        ("well sealed, a body without a head", sealed((BODY, b"body"))),
        ("well sealed, a second head", sealed((HEAD, head), (HEAD, head))),
        ("well sealed, a kind of chunk that is none", sealed((HEAD, head), (4, b"body"))),
        ("well sealed, a kind of chunk that is none", sealed((0, head))),
        ("well sealed, a chunk without data", empty(u8(BODY))),
        ("well sealed, a chunk without a kind", empty(b"")),
        ("well sealed, a mac that is none", closed(lambda mac: ZERO)),
        ("well sealed, a mac cut by one byte", closed(lambda mac: mac[:-1])),
        ("well sealed, a close one byte longer", closed(lambda mac: mac + b"\0")),
        ("well sealed, a request of no code", sealed((HEAD, b"\x7f"))),
    ]
    return [Case(why, "smrd", after, frames) for why, frames in found]


# a renewal, messages 3 and 4


def renewals(vector):
    inputs, steps = vector.inputs, vector.steps
    asked, answered = _frames_before(vector, 3), _frames_before(vector, 4)

    def renew(x25519, mlkem):
        client, _, _ = before(inputs, steps, 3)
        return client.send(u8(RENEW) + x25519 + short(mlkem))

    def renewed(head):
        _, smrd, _ = before(inputs, steps, 4)
        return smrd.send(head, [], steps[4].time)

    client, _, _ = before(inputs, steps, 3)
    public = client.renew(*steps[3].renew)
    x25519, mlkem = public[1:33], public[35:]
    _, smrd, last = before(inputs, steps, 4)
    answer = smrd.answer_renewal(last.head, *steps[4].renewed)
    found = [
        ("an X25519 key that gives all zeros", renew(ZERO, mlkem)),
        ("an encapsulation key that is none", renew(x25519, NO_KEY)),
        ("an encapsulation key cut by one byte", renew(x25519, mlkem[:-1])),
    ]
    answers = [
        ("an X25519 key that gives all zeros", u8(RENEWED) + ZERO + answer[33:]),
        ("a ciphertext cut by one byte", answer[:33] + short(answer[35:-1])),
        ("another reply than Renewed", DONE),
    ]
    unmixed, _, _ = before(inputs, steps, 4)
    unmixed._step()  # message 4 is read, and the old chain goes on
    unmixed._closed(message_hash(REPLY, answer, b""), ZERO)
    stale = unmixed.send(PING)
    return (
        [Case(f"a renewal with {why}", "smrd", asked, frames) for why, frames in found]
        + [Case(f"a renewal answered with {why}", "client", answered, renewed(head)) for why, head in answers]
        + [Case("a request under the chain before the renewal", "smrd", _frames_before(vector, 5), stale[:1])]
    )


def _frames_before(vector, number):
    """How many frames of the vector come before a message: head, parts and close of each."""
    return 3 + sum(2 + len(step.parts) for step in vector.steps[:number])
