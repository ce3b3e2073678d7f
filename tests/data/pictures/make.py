"""Makes the pictures beside this file, in every form that people send: `python make.py`, with Pillow 13 and numpy.

A picture's name begins with its digit. The digits are MNIST's, from `../held_back`; the encoders are Pillow's, so that
none of them is one that mnistq uses. What Pillow can't write (2, 4 and 16 bits a channel, interlacing) is written here.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
INK, PAPER = (20, 30, 90), (240, 235, 220)


def held_back(name, header):
    content = gzip.decompress((HERE / "../held_back" / name).read_bytes())
    return np.frombuffer(content, np.uint8, offset=header)


IMAGES = held_back("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
LABELS = held_back("t10k-labels-idx1-ubyte.gz", 8)


def ink(digit, side=56):
    """How much ink there is, from 0 to 1: the first such digit among those held back, enlarged, a quarter of it margin."""
    image = Image.fromarray(IMAGES[np.flatnonzero(LABELS == digit)[0]]).resize((side, side), Image.BICUBIC)
    return np.pad(np.asarray(image, np.float64) / 255, side // 8)


def coloured(digit):
    amount = ink(digit)[..., None]
    pixels = amount * np.array(INK) + (1 - amount) * np.array(PAPER)
    return Image.fromarray(pixels.round().astype(np.uint8))


def transparent(digit, colour):
    amount = (ink(digit) * 255).round().astype(np.uint8)
    return Image.fromarray(np.dstack([np.full_like(amount, value) for value in colour] + [amount]))


def save(name, image, **options):
    image.save(HERE / name, **options)


def png(name, rows, bits, colour_type, interlaced=False):
    """Rows of samples, each from 0 to 2**bits - 1."""

    def scanlines(part):
        if part.size == 0:
            return b""
        flat = part.reshape(part.shape[0], -1)
        if bits == 16:
            packed = [row.astype(">u2").tobytes() for row in flat]
        else:
            unpacked = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
            packed = [np.packbits(row.reshape(-1)).tobytes() for row in unpacked]
        return b"".join(b"\0" + row for row in packed)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [rows[y::dy, x::dx] for y, x, dy, dx in adam7] if interlaced else [rows]
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour_type, 0, 0, interlaced)
    body = zlib.compress(b"".join(map(scanlines, passes)), 9)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (HERE / name).write_bytes(content)


def samples(digit, bits):
    return ((1 - ink(digit)) * (2**bits - 1)).round().astype(np.int64)


for bits in (1, 2, 4, 8, 16):
    png(f"3-grey-{bits}-bit.png", samples(3, bits), bits, 0)
png("3-interlaced.png", samples(3, 8), 8, 0, interlaced=True)
png("5-colour-16-bit.png", np.repeat(samples(5, 16)[..., None], 3, axis=2), 16, 2)
save("5-colour.png", coloured(5))
save("2-palette.png", coloured(2).quantize(16), bits=4)
save("2-palette-transparent.png", transparent(2, (0, 0, 0)).quantize(16))
save("4-black-on-nothing.png", transparent(4, (0, 0, 0)))
save("4-white-on-nothing.png", transparent(4, (255, 255, 255)))
save("4-grey-alpha.png", transparent(4, (0, 0, 0)).convert("LA"))
save("7-baseline.jpg", coloured(7), quality=60)
save("7-progressive.jpg", coloured(7), quality=60, progressive=True)
save("7-grey.jpg", coloured(7).convert("L"), quality=60)
save("7-cmyk.jpg", coloured(7).convert("CMYK"), quality=60)
save("7-444.jpg", coloured(7), quality=60, subsampling=0)
# What turns the stored picture upright, by the Exif standard's number; a 6 upside down is a 9.
STORED = [None, Image.FLIP_LEFT_RIGHT, Image.ROTATE_180, Image.FLIP_TOP_BOTTOM, Image.TRANSPOSE]
STORED += [Image.ROTATE_90, Image.TRANSVERSE, Image.ROTATE_270]
for number, transposition in enumerate(STORED, 1):
    image = coloured(6) if transposition is None else coloured(6).transpose(transposition)
    exif = Image.Exif()
    exif[0x0112] = number
    save(f"6-orientation-{number}.jpg", image, quality=60, exif=exif)
save("9-lossy.webp", coloured(9), quality=60)
save("9-lossless.webp", coloured(9), lossless=True)
save("9-transparent.webp", transparent(9, (0, 0, 0)), lossless=True)
save("8-still.gif", coloured(8))
save("8-first-of-two.gif", coloured(8), save_all=True, append_images=[coloured(1)], duration=100)
save("8-transparent.gif", transparent(8, (0, 0, 0)))
save("0-1-bit.bmp", coloured(0).convert("1", dither=Image.NONE))
save("0-palette.bmp", coloured(0).quantize(16))
save("0-colour.bmp", coloured(0).quantize(64).convert("RGB").resize((36, 36)))
save("0-with-alpha.bmp", coloured(0).resize((36, 36)).convert("RGBA"))
