"""Logs in to a running smrd and fetches a message, under each suite:

    python live.py ADDRESS FINGERPRINT KEYRING PASSPHRASE-FILE ID SEALED-FILE

What it fetches must be the bytes of SEALED-FILE. Prints how many warrants held.
"""

import sys
from pathlib import Path

from client import Client, accepted, fetch_identity
from keyring import KeyRing
from refused import require
from schedule import sha256
from warrant import verify_warrant

INBOX = 1


def main():
    address, fingerprint, keyring, passphrase, message_id, sealed = sys.argv[1:]
    ring = KeyRing(Path(keyring), Path(passphrase).read_text().rstrip("\n"))
    server = fetch_identity(address, fingerprint)
    require(server.name == ring.repository, "the key ring is for another repository")
    expected = (bytes.fromhex(message_id), Path(sealed).read_bytes())
    for suites in ([1, 2], [2], [2, 1]):
        warrants = visit(address, server, ring, suites, *expected)
        print(f"suite {min(suites)} of {suites}: a message of {len(expected[1])} bytes twice, {warrants} warrants")


def visit(address, server, ring, suites, wanted, sealed):
    client, warrants = Client(address, server, suites), []
    require(client.shaking.suite == min(suites), "smrd takes another suite")
    client.login(ring.account, ring.device, ring.sign)

    def ask(*request):
        reply, message = client.ask(*request)
        verify_warrant(message.warrant, server.warrant)
        warrants.append(message.warrant)
        return accepted(reply), message.body

    (_, entries, more, count, head, before), peeked = ask("list", INBOX, 0, 256, 16)
    require(not more and count == len(entries) and head == heads(entries), "another head")
    require(before == bytes(32), "another head before the first")
    require(any(wanted.hex() in name for name, _, _ in entries), "the message is not listed")
    require(len(peeked) == sum(length for _, _, length in entries), "a listing of another length")

    news, _ = ask("watch", INBOX, 0, 900)  # there is some: answered at once
    require(news == ("news", count), f"other news: {news}")
    fetched = ask("fetch", INBOX, wanted, None)[1]
    require(fetched == sealed, "other bytes")
    before = client.session.chain
    client.renew()
    require(client.session.chain != before, "the chain goes on")
    require(ask("fetch", INBOX, wanted, None)[1] == sealed, "other bytes after the renewal")
    reply, _ = client.ask("fetch", INBOX, bytes(16), None)
    require(reply[:2] == ("refused", 66), f"a message that is none: {reply}")
    client.bye()
    require(len(set(warrants)) == len(warrants), "one warrant for two replies")
    return len(warrants)


def heads(entries):
    """The head of a folder that has these entries and no others."""
    head = bytes(32)
    for name, _, _ in entries:
        head = sha256(b"smr head 1\0" + head + name.encode())
    return head


if __name__ == "__main__":
    main()
