"""The one error of the reference: what came is not what smr-session(7) allows.

Why is for people who mend one of the two sides; it is never said to a peer.
"""


class Refused(Exception):
    pass


def require(condition, why):
    if not condition:
        raise Refused(why)
