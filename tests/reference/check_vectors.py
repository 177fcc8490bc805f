"""Checks tests/vectors/session: python tests/reference/check_vectors.py

Every vector is played by both ends from what the file gives, and every other
line compared; every spoilt frame must be refused by the end it came to. Prints
how many of each.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import handshake
import identity
import messages
from identity import ServerKeys
from messages import INTRODUCTIONS, REPLIES, REQUESTS
from play import Inputs, Step, greet, say
from refused import Refused
from scenario import device_key
from schedule import REPLY, REQUEST, sha256
from session import RENEW, RENEWED, Session
from vectors import FOLDER, Taker, read

PAGE = FOLDER.parents[2] / "man" / "smr-session.7"
TABLES = {"introduction": INTRODUCTIONS, "request": REQUESTS, "reply": REPLIES}


class Vector:
    """A file of one session: its inputs, its messages, and every frame in order."""

    def __init__(self, name):
        self.name, self.pairs = name, read(name)
        self.frames = [bytes.fromhex(value) for key, value in self.pairs if key == "frame"]
        taker = Taker(self.pairs)
        self._handshake(taker)
        self.messages = []
        while taker.pairs:
            self.messages.append(self._message(taker))

    def _handshake(self, take):
        keys = ServerKeys(
            take.word("repository"),
            *(take.data(f"server-{key}") for key in ("x25519", "mlkem", "warrant", "postmark")),
        )
        self.document, self.fingerprint = take.data("document"), take.data("fingerprint")
        suites = list(take.data("offered"))
        client = handshake.ClientDraws(
            take.data("client-static"),
            take.data("client-encapsulation"),
            take.data("client-mlkem"),
            take.every("client-ephemeral"),
        )
        take.data("frame")
        server = handshake.ServerDraws(take.data("server-ephemeral"), take.data("server-encapsulation"))
        take.data("frame")
        self.psk3, self.to_sign = take.data("psk3"), take.data("hash-to-sign")
        self.device, self.signed = take.data("device-key"), take.data("signed")
        self.introduction = take.data("introduction")
        take.data("frame")
        self.keys = [take.data(key) for key in ("k1", "k2", "h", "session")]
        now = int(take.word("now"))
        self.limits = [int(take.word("limit"))]
        self.inputs = Inputs(keys, suites, client, server, lambda _: self.introduction, now)

    def _message(self, take):
        number, step = int(take.word("message")), Step()
        for key in ("renew", "renewed"):
            if take.next_is(f"{key}-x25519"):
                setattr(step, key, (take.data(f"{key}-x25519"), take.data(f"{key}-mlkem")))
        step.head, step.parts = take.data("head"), take.every("part")
        if take.next_is("time"):
            step.time = int(take.word("time"))
        frames = take.every("frame")
        warrant = take.data("warrant") if step.time is not None else None
        transcript = take.data("transcript")
        if step.renewed:
            self.limits.append(int(take.word("limit")))
        assert number == len(self.messages)
        return step, frames, warrant, transcript


def same(name, what, found, expected):
    assert found == expected, f"{name}: {what} differs"


def check_vector(vector):
    name, inputs, greeting = vector.name, vector.inputs, greet(vector.inputs)
    document = inputs.keys.identity()
    same(name, "the document", document.text, vector.document)
    same(name, "the fingerprint", document.fingerprint, vector.fingerprint)
    for number in range(3):
        same(name, f"frame {number + 1}", greeting.frames[number], vector.frames[number])
    same(name, "psk3", greeting.psk3, vector.psk3)
    same(name, "the hash to sign", greeting.to_sign, vector.to_sign)
    made = greeting.established
    same(name, "the keys", [made.k1, made.k2, made.h, greeting.client.id], vector.keys)
    same(name, "N", greeting.client.limit, vector.limits[0])
    check_signature(vector)

    last, limits = None, vector.limits[1:]
    for number, (step, frames, warrant, transcript) in enumerate(vector.messages):
        said, last = say(step, greeting.client, greeting.server, last)
        same(name, f"a frame of message {number}", said, frames)
        same(name, f"the head of message {number}", last.head, step.head)
        same(name, f"the warrant of message {number}", last.warrant, warrant)
        same(name, f"T after message {number}", greeting.client.transcript, transcript)
        messages.decode(REPLIES if number % 2 == 0 else REQUESTS, last.head)
        if step.renewed:
            same(name, f"N after message {number}", greeting.client.limit, limits.pop(0))


def check_signature(vector):
    """The last field of each introduction is the device's signature over what was signed."""
    introduction = messages.decode(INTRODUCTIONS, vector.introduction)
    public = device_key(vector.device).public_key()
    public.verify(introduction[-1], vector.signed, ec.ECDSA(hashes.SHA256()))
    assert vector.to_sign in vector.signed


class End:
    """One end that takes the other's frames and, between them, says its own lines."""

    def __init__(self, vector, role):
        self.vector, self.role, self.session = vector, role, None
        inputs = vector.inputs
        if role == "client":
            self.shaking = handshake.Client(inputs.keys.identity(), inputs.suites, inputs.client)
        else:
            self.shaking = handshake.Server(inputs.keys, inputs.server)

    def goes_through(self, after):
        """Both ends' first frames of the vector."""
        for index, frame in enumerate(self.vector.frames[:after]):
            if self._is_mine(index):
                self._say()
            else:
                self.take(frame)

    def _is_mine(self, index):
        if index < 3:
            return (index == 1) == (self.role == "smrd")
        for number, (_, frames, _, _) in enumerate(self.vector.messages):
            index -= len(frames)
            if index < 3:
                return (number % 2 == 0) == (self.role == "smrd")
        raise AssertionError("no such frame")

    def take(self, frame):
        """Refused, or taken with all that follows from it."""
        if self.session:
            return self._message(self.session.receive(frame))
        if self.role == "client":
            return self.shaking.answer(frame)
        if not hasattr(self.shaking, "noise"):
            return self.shaking.accept(frame)
        established = self.shaking.finish(frame)
        messages.decode(INTRODUCTIONS, established.introduction)
        inputs = self.vector.inputs
        self.session = Session(established, REPLY, inputs.keys.warrant, inputs.now)
        return None

    def _message(self, message):
        if self.session.head is not None or message:
            head = message.head if message else self.session.head
            messages.decode(REPLIES if self.role == "client" else REQUESTS, head)
        if message and message.head[0] == RENEW:
            self.answer = self.session.answer_renewal(message.head, *self._step().renewed)
        if message and self.role == "client" and self.session.asked:
            self.session.renewed(message.head, message.time)

    def _step(self):
        return self.vector.messages[self.session.number][0]

    def _say(self):
        """What is this end's to say, once for all its frames."""
        inputs = self.vector.inputs
        if not self.session:
            if self.role == "client" and hasattr(self.shaking, "suite"):
                _, established = self.shaking.finish(self.vector.introduction)
                warrant = inputs.keys.identity().warrant
                self.session = Session(established, REQUEST, warrant, inputs.now)
            return
        if self.session.turn == self.session.own:
            step = self._step()
            head = self.session.renew(*step.renew) if step.renew else step.head
            self.session.send(head, step.parts, step.time)


def check_refused(vectors):
    take, count = Taker(read("refused.txt")), 0
    while take.pairs:
        vector, role, after = vectors[take.word("of")], take.word("to"), int(take.word("after"))
        frames = take.every("frame")
        end, count = End(vector, role), count + 1
        end.goes_through(after)
        for frame in frames[:-1]:
            end.take(frame)
        try:
            end.take(frames[-1])
        except Refused:
            continue
        raise AssertionError(f"refused.txt: case {count} was taken by {role}")
    return count


def again(kind, encoded):
    """Reads a sample and spells it again."""
    if kind == "document":
        return identity.read(encoded).text
    return messages.encode(TABLES[kind], messages.decode(TABLES[kind], encoded))


def check_codec():
    good = damaged = 0
    for key, value in read("codec.txt"):
        encoded = bytes.fromhex(value)
        if key.startswith("damaged-"):
            damaged += 1
            try:
                again(key.removeprefix("damaged-"), encoded)
            except Refused:
                continue
            raise AssertionError(f"codec.txt: taken: {key} {value}")
        good += 1
        same("codec.txt", value, again(key, encoded), encoded)
    return good, damaged


def check_page(vector):
    """The excerpt in smr-session(7) is of this vector."""
    page = "".join(PAGE.read_text().split())
    said = [frame for _, frames, _, _ in vector.messages[1:3] for frame in frames]
    hashes = [sha256(frame) for frame in vector.frames[:3]] + [vector.to_sign, vector.keys[3]]
    for shown in said + hashes:
        assert shown.hex() in page, f"smr-session(7) does not show {shown.hex()}"
    assert vector.inputs.keys.identity().spelled in page, "smr-session(7) shows another fingerprint"
    first, renewed, *_ = vector.limits
    shown = f"N{first},and{renewed}afterthefirstrenewal"
    assert shown in page, "smr-session(7) shows another N"


def check_too_late(vector):
    """A client that never renews: N messages serve, then nothing but a renewal."""
    greeting, inputs = greet(vector.inputs), vector.inputs
    client, smrd = greeting.client, greeting.server
    ping, done = (messages.encode(table, (name,)) for table, name in ((REQUESTS, "ping"), (REPLIES, "done")))
    say(vector.messages[0][0], client, smrd, None)
    while client.used < client.limit:
        assert not client.renewal_due(inputs.now) and not smrd.overdue(inputs.now)
        say(Step(ping), client, smrd, None)
        say(Step(done, time=inputs.now), client, smrd, None)
    assert client.renewal_due(inputs.now)
    exactly = client.used == client.limit
    if exactly:  # smrd answers once more, with a refusal
        say(Step(ping), client, smrd, None)
        assert smrd.overdue(inputs.now)
        say(Step(done, time=inputs.now), client, smrd, None)
    try:
        smrd.receive(client.send(ping)[0])
    except Refused:
        return
    raise AssertionError("smrd takes requests after N messages")


def main():
    names = {path.name for path in FOLDER.iterdir()} - {"refused.txt", "codec.txt"}
    vectors = {name: Vector(name) for name in sorted(names)}
    for vector in vectors.values():
        check_vector(vector)
        check_too_late(vector)
    check_page(vectors["suite-1.txt"])
    said = sum(len(vector.frames) for vector in vectors.values())
    refused = check_refused(vectors)
    good, damaged = check_codec()
    print(f"vectors: {len(vectors)} sessions with {said} frames, {good} samples spelled, as expected")
    print(f"vectors: {refused} spoilt frames and {damaged} damaged samples refused")


if __name__ == "__main__":
    main()
