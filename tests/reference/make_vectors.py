"""Writes tests/vectors/session anew: python tests/reference/make_vectors.py

Whether the files are right, check_vectors.py and lib/channel's tests say.
"""

import samples
import spoilt
from play import greet, say
from scenario import VECTORS
from vectors import Writer

MADE = "Made by tests/reference/make_vectors.py; smr-session(7), TEST VECTORS."


def write_vector(title, scenario):
    out = Writer(title[0].upper() + title[1:] + ".", MADE)
    inputs, keys = scenario.inputs, scenario.inputs.keys
    greeting = greet(inputs)
    out.remark("smrd's secrets, and the document that follows from them")
    out.word("repository", keys.name)
    out.data("server-x25519", keys.x25519)
    out.data("server-mlkem", keys.mlkem768)
    out.data("server-warrant", keys.warrant)
    out.data("server-postmark", keys.postmark)
    out.data("document", keys.identity().text)
    out.data("fingerprint", keys.identity().fingerprint)
    out.remark("frame 1, client")
    out.data("offered", bytes(inputs.suites))
    out.data("client-static", inputs.client.static)
    out.data("client-encapsulation", inputs.client.encapsulation)
    out.data("client-mlkem", inputs.client.mlkem)
    for ephemeral in inputs.client.ephemerals:
        out.data("client-ephemeral", ephemeral)
    out.data("frame", greeting.frames[0])
    out.remark("frame 2, smrd")
    out.data("server-ephemeral", inputs.server.ephemeral)
    out.data("server-encapsulation", inputs.server.encapsulation)
    out.data("frame", greeting.frames[1])
    out.data("psk3", greeting.psk3)
    out.data("hash-to-sign", greeting.to_sign)
    out.remark("frame 3, client")
    out.data("device-key", scenario.device)
    out.data("signed", scenario.signed)
    out.data("introduction", greeting.introduction)
    out.data("frame", greeting.frames[2])
    out.remark("the keys that follow")
    out.data("k1", greeting.established.k1)
    out.data("k2", greeting.established.k2)
    out.data("h", greeting.established.h)
    out.data("session", greeting.client.id)
    out.word("now", inputs.now)
    out.word("limit", greeting.client.limit)
    write_messages(out, scenario.steps, greeting.client, greeting.server)
    return out


def write_messages(out, steps, client, server):
    last = None
    for number, step in enumerate(steps):
        out.remark(f"message {number}, {'client' if number % 2 else 'smrd'}")
        out.word("message", number)
        for key, pair in (("renew", step.renew), ("renewed", step.renewed)):
            if pair:
                out.data(f"{key}-x25519", pair[0])
                out.data(f"{key}-mlkem", pair[1])
        frames, last = say(step, client, server, last)
        out.data("head", last.head)
        for part in step.parts:
            out.data("part", part)
        if step.time is not None:
            out.word("time", step.time)
        for frame in frames:
            out.data("frame", frame)
        if last.warrant:
            out.data("warrant", last.warrant)
        out.data("transcript", client.transcript)
        if step.renewed:
            out.word("limit", client.limit)


def write_refused():
    out = Writer("What a receiver refuses, after so many frames of a vector.", MADE)
    for name in ("suite-1.txt", "suite-2.txt"):
        for case in spoilt.cases(VECTORS[name][1]):
            out.remark(case.why)
            out.word("of", name)
            out.word("to", case.to)
            out.word("after", case.after)
            for frame in case.frames:
                out.data("frame", frame)
    return out


def write_codec():
    out = Writer("Introductions, requests, replies and identity documents as bytes, and damaged ones.", MADE)
    for kind, message, encoded in samples.spelled():
        out.remark(message[0])
        out.data(kind, encoded)
    document, damaged_documents = samples.documents()
    out.remark("an identity document")
    out.data("document", document)
    for why, damaged in damaged_documents:
        out.remark(f"damaged: {why}")
        out.data("damaged-document", damaged)
    for kind, damaged in samples.DAMAGED.items():
        for why, encoded in damaged:
            out.remark(f"damaged: {why}")
            out.data(f"damaged-{kind}", encoded)
    return out


def main():
    for name, (title, make) in VECTORS.items():
        write_vector(title, make()).save(name)
    write_refused().save("refused.txt")
    write_codec().save("codec.txt")


if __name__ == "__main__":
    main()
