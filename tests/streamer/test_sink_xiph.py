"""Tags and cover pictures that hide in the headers of the sound stay behind."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.sink.passthrough import Passthrough
from streamer.sink.xiph import without_comments

SECRET = b"METADATA_BLOCK_PICTURE=face of anna"
IDENTIFICATION = b"\x01vorbis" + bytes(range(1, 24))
COMMENTS = b"\x03vorbis" + bytes(4) + struct.pack("<II", 1, len(SECRET) + 600) + SECRET + b"A" * 600 + b"\x01"
SETUP = b"\x05vorbis" + b"S" * 300


def _laced(comments: bytes = COMMENTS) -> bytes:
    sizes = b"".join(
        b"\xff" * (len(part) // 255) + bytes([len(part) % 255]) for part in (IDENTIFICATION, comments)
    )
    return b"\x02" + sizes + IDENTIFICATION + comments + SETUP


def _counted() -> bytes:
    return b"".join(struct.pack(">H", len(part)) + part for part in (IDENTIFICATION, COMMENTS, SETUP))


@pytest.mark.parametrize("headers", [_laced, _counted])
def test_only_the_comments_go(headers: Callable[[], bytes]) -> None:
    bare = without_comments("vorbis", headers())
    assert bare is not None
    assert b"anna" not in bare
    assert bare == _laced(b"\x03vorbis" + bytes(8) + b"\x01")
    assert without_comments("vorbis", bare) == bare


@pytest.mark.parametrize("damaged", [b"\x02", b"\x02\xff", _laced()[:40], b"\x07" + _laced(), bytes(64)])
def test_headers_that_cannot_be_read_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="Vorbis"):
        without_comments("vorbis", damaged)


def test_other_codecs_keep_theirs() -> None:
    assert without_comments("aac", b"\x12\x10") == b"\x12\x10"
    assert without_comments("vorbis", None) is None


def test_no_cover_picture_reaches_the_output(tmp_path: Path) -> None:
    source, tagged, output = (tmp_path / name for name in ("a.mkv", "b.mkv", "c.mkv"))
    with av.open(str(source), "w") as container:
        sound = container.add_stream("vorbis", rate=44100, layout="stereo", options={"strict": "-2"})
        for index in range(4):
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            samples.sample_rate, samples.pts = 44100, 1024 * index
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with av.open(str(source)) as read, av.open(str(tagged), "w") as container:
        (stream,) = read.streams.audio
        copy = container.add_stream_from_template(stream)
        bare = without_comments("vorbis", stream.codec_context.extradata)
        assert bare is not None
        setup = bare[bare.index(b"\x05vorbis") :]
        first = bare[bare.index(b"\x01vorbis") :][:30]
        sizes = bytes([30]) + b"\xff" * (len(COMMENTS) // 255) + bytes([len(COMMENTS) % 255])
        copy.codec_context.extradata = b"\x02" + sizes + first + COMMENTS + setup
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
    assert SECRET in tagged.read_bytes()
    with av.open(str(output), "w") as container:
        passthrough = Passthrough(tagged, container, output)
        container.start_encoding()
        passthrough.copy_until(None)
        passthrough.close()
    assert b"anna" not in output.read_bytes()
    with av.open(str(output)) as read:
        assert sum(frame.samples for frame in read.decode(audio=0)) > 0
