"""The headers of Vorbis sound, without what they tell of its maker: tags, and a cover picture that may show a face."""

from __future__ import annotations

# An empty vendor, no comments, and the framing bit (Vorbis I specification, section 5).
_NO_COMMENTS = b"\x03vorbis" + bytes(8) + b"\x01"
_IDENTIFICATION_BYTES = 30


def without_comments(codec: str, extradata: bytes | None) -> bytes | None:
    """What to write as a sound's extradata in place of `extradata`: the same for all codecs but Vorbis.

    Raises ValueError when Vorbis headers cannot be told apart.
    """
    if codec != "vorbis" or not extradata:
        return extradata
    identification, _, setup = _headers(extradata)
    sizes = b"".join(
        b"\xff" * (len(part) // 255) + bytes([len(part) % 255]) for part in (identification, _NO_COMMENTS)
    )
    return b"\x02" + sizes + identification + _NO_COMMENTS + setup


def _headers(extradata: bytes) -> tuple[bytes, bytes, bytes]:
    """Identification, comments and setup, in either of the two ways in which FFmpeg strings them together."""
    parts = []
    if extradata[0] == 2:
        sizes, at = [], 1
        for _ in range(2):
            size = 0
            while extradata[at : at + 1] == b"\xff":
                size, at = size + 255, at + 1
            sizes.append(size + int.from_bytes(extradata[at : at + 1], "big"))
            at += 1
        for size in (*sizes, len(extradata)):
            parts.append(extradata[at : at + size])
            at += size
    elif int.from_bytes(extradata[:2], "big") == _IDENTIFICATION_BYTES:
        at = 0
        for _ in range(3):
            end = at + 2 + int.from_bytes(extradata[at : at + 2], "big")
            parts.append(extradata[at + 2 : end])
            at = end
    if [part[:7] for part in parts] != [b"\x01vorbis", b"\x03vorbis", b"\x05vorbis"]:
        raise ValueError("these are no Vorbis headers")
    identification, comments, setup = parts
    return identification, comments, setup
