"""Checking by oneself that an item is what its source had registered before the query.

The leaf of an item is ``SM3(0x00 || length of its code (1) || code || salt (32) || SM3(canonical JSON))``, an inner node
``SM3(0x01 || left || right)``, and the tree has the shape of RFC 6962: its left half is the largest power of two that is
less than the number of leaves. That the root stands on the ledger since that height is what the agent has checked
against a certified receipt; any node can be asked for it (``xinqiao order show``).
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Broken
from .sm3 import sm3

MAX_PATH = 64
"""The most siblings that a path may have."""


@dataclass(frozen=True)
class Proof:
    """What proves one item of one source."""

    salt: bytes
    """The item's salt, 32 bytes."""
    index: int
    """Index of the item's leaf."""
    size: int
    """Number of leaves."""
    siblings: tuple[bytes, ...]
    """Siblings of 32 bytes, from the leaf upwards."""
    root: bytes
    """The root that the source registered, 32 bytes."""
    registered_at_height: int
    """Height of the block in which it did."""

    def check(self, item: str, json: str) -> None:
        """Follows the path from an item, given by its code and its canonical JSON as it came, to the root.

        Raises :class:`Broken` with ITEM_MISMATCH if it does not lead there.
        """
        if not leads(leaf(item, self.salt, json.encode()), self.index, self.size, self.siblings, self.root):
            raise Broken.of("ITEM_MISMATCH", item)


def leaf(item: str, salt: bytes, canonical: bytes) -> bytes:
    """The leaf of one item, 32 bytes."""
    code = item.encode()
    if len(salt) != 32 or not 1 <= len(code) <= 32:
        raise Broken.of("MESSAGE_MALFORMED", "salt or code of an item")
    return sm3(b"\x00" + bytes([len(code)]) + code + salt + sm3(canonical))


def leads(leaf_hash: bytes, index: int, size: int, siblings: tuple[bytes, ...], root: bytes) -> bool:
    """Whether the path leads from that leaf to that root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or len(siblings) > MAX_PATH or any(len(sibling) != 32 for sibling in siblings):
        return False
    position, last, found = index, size - 1, leaf_hash
    for sibling in siblings:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = sm3(b"\x01" + sibling + found)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            found = sm3(b"\x01" + found + sibling)
        position >>= 1
        last >>= 1
    return last == 0 and found == root
