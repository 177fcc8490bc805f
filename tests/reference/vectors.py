"""The text of test vectors: smr-session(7), TEST VECTORS, "The files".

A file is lines of a key and a value; what begins with a space goes on with the
value above; what begins with # is for people. Knows no key.
"""

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "vectors" / "session"
WIDTH = 96


class Writer:
    """Collects lines."""

    def __init__(self, *remarks):
        self.lines = []
        self.remark(*remarks)

    def remark(self, *remarks):
        self.lines += [""] if self.lines else []
        self.lines += [f"# {remark}" for remark in remarks]

    def word(self, key, value):
        self.lines.append(f"{key} {value}")

    def data(self, key, value):
        digits = value.hex()
        if len(digits) <= WIDTH:
            return self.word(key, digits)
        self.lines.append(key)
        self.lines += [f"  {digits[at : at + WIDTH]}" for at in range(0, len(digits), WIDTH)]

    def save(self, name):
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text("\n".join(self.lines) + "\n")


def read(name):
    """The keys and values of a file in order; values are text, without spaces between digits."""
    pairs = []
    for line in (FOLDER / name).read_text().splitlines():
        if line.startswith(" "):
            pairs[-1][1] += line.strip()
        elif line and not line.startswith("#"):
            key, _, value = line.partition(" ")
            pairs.append([key, value])
    return [(key, value) for key, value in pairs]


class Taker:
    """Takes the pairs of a file one after the other, each by its key."""

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def next_is(self, key):
        return bool(self.pairs) and self.pairs[0][0] == key

    def word(self, key):
        assert self.next_is(key), f"expected {key}, found {self.pairs[:1]}"
        return self.pairs.pop(0)[1]

    def data(self, key):
        return bytes.fromhex(self.word(key))

    def every(self, key):
        """The data of all pairs of this key that stand here."""
        found = []
        while self.next_is(key):
            found.append(self.data(key))
        return found
