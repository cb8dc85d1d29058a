"""Seeded damage to a file: what chance, a bad disk, a wrong program or an attacker may do to it."""

import re
from collections.abc import Callable
from random import Random

NASTY = (
    *("NaN", "Infinity", "-1", "1e999", "0", "99999999999999999999", "1000000000", "-0.5", "null", "true"),
    *("[]", "{}", '""', '"x"', '"../../etc/passwd"', '"<img src=x onerror=alert(1)>"', "[[0]]", '{"a": {}}'),
    *("[" * 3000, '"' + "A" * 5000 + '"', "1" * 5000, "\\u0000"),
)
LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"[^"\\\n]{0,80}"|\btrue\b|\bfalse\b|\bnull\b')
WINDOW = 1 << 16  # bytes at a file's head in which values are looked for


def flip(data: bytearray, random: Random) -> None:
    """Some bits."""
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        data[_place(data, random)] ^= 1 << random.randrange(8)


def truncate(data: bytearray, random: Random) -> None:
    """The end is missing."""
    del data[_place(data, random) :]


def length(data: bytearray, random: Random) -> None:
    """What may be a length field says something else."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    at, value = _place(data, random), random.choice(LENGTHS)
    data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)  # type: ignore[arg-type]


def insert(data: bytearray, random: Random) -> None:
    """Bytes too many."""
    at = _place(data, random)
    data[at:at] = random.randbytes(random.choice((1, 3, 17, 300)))


def zero(data: bytearray, random: Random) -> None:
    """A stretch of zeros, as a hole in a copied file."""
    at = _place(data, random)
    end = min(len(data), at + random.choice((4, 64, 4096)))
    data[at:end] = bytes(end - at)


def swap(data: bytearray, random: Random) -> None:
    """Two stretches change places."""
    size = min(len(data) // 2, random.choice((2, 16, 512)))
    one, other = sorted((random.randrange(len(data) - size + 1), random.randrange(len(data) - size + 1)))
    if size and other - one >= size:
        data[one : one + size], data[other : other + size] = (
            data[other : other + size],
            data[one : one + size],
        )


def repeat(data: bytearray, random: Random) -> None:
    """A stretch comes twice."""
    at = _place(data, random)
    data[at:at] = data[at : at + random.choice((1, 20, 1000))]


def value(data: bytearray, random: Random) -> None:
    """A number, a word or a text of a head or a document becomes something else; a safetensors length follows."""
    found = list(TOKEN.finditer(bytes(data[:WINDOW])))
    if not found:
        return flip(data, random)
    at = random.choice(found)
    new = random.choice(NASTY).encode()
    if b'\\"' in data[:WINDOW] and not at.group().startswith(b'"'):
        new = new.replace(b'"', b'\\"')  # JSON in a text of JSON
    head = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and 0 < head < len(data):
        data[:8] = (head + len(new) - len(at.group())).to_bytes(8, "little")
    data[at.start() : at.end()] = new


MUTATIONS: tuple[Callable[[bytearray, Random], None], ...] = (
    *(flip, truncate, length, insert, zero, swap, repeat),
    *(value, value, value),
)


def mutated(seed: bytes, random: Random) -> bytes:
    """A seed with one to three faults."""
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 2, 3))):
        if data:
            random.choice(MUTATIONS)(data, random)
    return bytes(data)


def _place(data: bytearray, random: Random) -> int:
    """Any byte; every second time one of the head, where formats keep what they say of themselves."""
    if random.random() < 0.5:
        return random.randrange(min(len(data), 200))
    return random.randrange(len(data))
