"""Gives schemathesis real pictures of digits: bytes that it makes up itself are none."""

from pathlib import Path

import schemathesis
from hypothesis import strategies

FOLDER = Path("src/http/page/digits")
PICTURES = [file.read_bytes() for file in sorted(FOLDER.glob("*.png"))]

for kind in ["png", "jpeg", "webp", "gif", "bmp"]:
    # What an upload calls itself does not matter.
    schemathesis.openapi.media_type(f"image/{kind}", strategies.sampled_from(PICTURES))
