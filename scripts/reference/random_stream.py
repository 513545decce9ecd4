"""First numbers of aelab's random streams, computed from the definition alone: SHA-256 of the coordinates
is the key of ChaCha with 8 rounds (Bernstein 2008), block counter and nonce 0. Prints what the unit test of
crates/aelab-core/src/random.rs pins."""

import hashlib
import struct


def quarter(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] ^= s[x]
        s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & 0xFFFFFFFF


def chacha8_block(key):
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), 0, 0, 0, 0]
    s = list(start)
    for _ in range(4):
        for column in range(4):
            quarter(s, column, column + 4, column + 8, column + 12)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(s, a, b, c, d)
    return [(x + y) & 0xFFFFFFFF for x, y in zip(s, start)]


def first(purpose, seed, epoch, step):
    key = hashlib.sha256(b"aelab stream 1\0" + purpose.encode() + struct.pack("<3Q", seed, epoch, step)).digest()
    low, high = chacha8_block(key)[:2]
    return low | high << 32


for purpose in ("shuffle", "training"):
    print(purpose, first(purpose, 1, 2, 3))
