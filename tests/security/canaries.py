"""Canaries: texts that stand for secrets, and everything in which one of them is looked for."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

HALF = 16


class Canary(NamedTuple):
    """token: 32 letters. Either half counts, so what is masked in part shows."""

    name: str
    token: str

    @property
    def password(self) -> str:
        """With what a URL must quote."""
        return f"{self.token[:HALF]}@/%{self.token[HALF:]}"

    @property
    def key(self) -> str:
        """As Laravel writes a key of 32 bytes."""
        return f"base64:{base64.b64encode(self.token.encode()).decode()}"

    def forms(self) -> Iterator[bytes]:
        """How either half looks: plain, as digits, within anything that is written in Base64."""
        for half in (self.token[:HALF].encode(), self.token[HALF:].encode()):
            yield half
            yield half.hex().encode()
            for shift in range(3):
                # What stands before and after decides the first and the last letters.
                yield base64.b64encode(b"\0" * shift + half)[4:-4]


def canary(name: str) -> Canary:
    return Canary(name, uuid.uuid4().hex)


class Found(NamedTuple):
    name: str
    where: str


Places = Mapping[str, bytes]


def search(places: Places, canaries: Iterable[Canary]) -> set[Found]:
    """Every canary in every place, once."""
    forms = [(one.name, form) for one in canaries for form in set(one.forms())]
    return {
        Found(name, where)
        for where, held in places.items()
        for name, form in forms
        if form in held
    }
