"""The routes of listeners with one port, by the words of docs/node-protocol.md: the twin of the packet code."""

import ipaddress

MASK = 2**64 - 1


def route_of(key: bytes, select: str, address: str, port: int, routes: int) -> int:
    """The route, from 1, of a client at a listener with `select`."""
    message = ipaddress.ip_address(address).packed
    if select == "flow":
        message += port.to_bytes(2, "big")
    return (siphash13(key, message) >> 32) * routes // 2**32 + 1


def siphash13(key: bytes, message: bytes) -> int:
    """SipHash-1-3 (Aumasson and Bernstein, 2012)."""
    k0, k1 = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    v = [
        k0 ^ int.from_bytes(b"somepseu", "big"),
        k1 ^ int.from_bytes(b"dorandom", "big"),
        k0 ^ int.from_bytes(b"lygenera", "big"),
        k1 ^ int.from_bytes(b"tedbytes", "big"),
    ]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        _round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _round(v: list[int]) -> None:
    for a, b, by in ((0, 1, 13), (2, 3, 16)):
        v[a] = (v[a] + v[b]) & MASK
        v[b] = _left(v[b], by) ^ v[a]
    v[0] = _left(v[0], 32)
    for a, b, by in ((2, 1, 17), (0, 3, 21)):
        v[a] = (v[a] + v[b]) & MASK
        v[b] = _left(v[b], by) ^ v[a]
    v[2] = _left(v[2], 32)


def _left(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & MASK
