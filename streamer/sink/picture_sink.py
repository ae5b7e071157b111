"""Pictures: one frame in, one file out, upright and without any metadata."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from streamer.errors import OutputError, SettingsError
from streamer.planes.formats import AnyArray, pixel_format, plane_view
from streamer.redact import reason_of
from streamer.render.compositor import AnonymizedFrame
from streamer.settings import EncodeSettings
from streamer.sink.atomic import AtomicFile
from streamer.sink.bare import bare_copy, bare_frame
from streamer.sink.base import FrameSink
from streamer.sink.marks import marked_picture
from streamer.sink.pixel_choice import nearest
from streamer.source.info import StreamInfo

_ENCODERS = {
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".png": "png",
    ".webp": "libwebp",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
_FF_QP2LAMBDA = 118
_JPEG_QUANTISER = 2
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_OPTIONS = {
    "png": {"compression_level": "6", "pred": "mixed"},
    "libwebp": {"quality": "95"},
    "tiff": {"compression_algo": "deflate"},
}
# Turning by a quarter swaps the axes of the subsampling: 4:2:2 would become 4:4:0.
_EQUAL_AXES = {"yuv422p": "yuv444p", "yuvj422p": "yuvj444p", "yuv440p": "yuv444p", "yuvj440p": "yuvj444p"}


class PictureSink(FrameSink):
    """Writes one anonymized picture in the format of the output's ending.

    Exif and all other metadata stay behind; the orientation they held is applied to the pixels. A comment in JPEG and
    PNG says that the picture is synthetic.

    Raises:
        OutputError: the output cannot be written there.
        SettingsError: options for video were given.
    """

    def __init__(
        self,
        output: Path,
        info: StreamInfo,
        *,
        copy_from: Path | None,
        encode: EncodeSettings,
        overwrite: bool,
    ) -> None:
        self.notices: list[str] = []
        self._output = output
        self._info = info
        self._encoder = _ENCODERS[output.suffix.lower()]
        if encode.codec is not None or encode.preset is not None or encode.crf is not None:
            raise SettingsError("pictures have no codec, crf or preset; leave them out")
        self._payload: bytes | None = None
        self._file = AtomicFile(output, overwrite=overwrite, source=copy_from)

    def write(self, frame: AnonymizedFrame) -> None:
        """Encode the picture. Raises OutputError for a second one."""
        if not isinstance(frame, AnonymizedFrame):
            raise TypeError(f"a sink takes anonymized frames only, got {type(frame).__name__}")
        if self._payload is not None:
            raise OutputError(f"{self._output}: a picture holds one frame; choose the name of a video")
        try:
            payload = self._encode(upright(frame.frame.video, self._info.display_matrix))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self._output}: cannot be encoded ({reason_of(error)})") from None
        marked = marked_picture(payload, self._encoder)
        if marked is None:
            self.notices.append("this format has no comments here: the output is not marked as synthetic")
        self._payload = payload if marked is None else marked

    def finish(self) -> None:
        if self._payload is None:
            self.abort()
            raise OutputError(f"{self._output}: no picture came to be written")
        try:
            self._file.path.write_bytes(self._payload)
        except OSError as error:
            self.abort()
            raise OutputError(f"{self._output}: cannot be written ({reason_of(error)})") from None
        self._file.commit()

    def abort(self) -> None:
        self._file.abort()

    def _encode(self, video: av.VideoFrame) -> bytes:
        options = dict(_OPTIONS.get(self._encoder, {}))
        target = nearest(video.format.name, _pixel_formats(self._encoder))
        if self._encoder == "libwebp" and target == "bgra":
            options = {"lossless": "1"}
        if target != video.format.name:
            value_range = {"mjpeg": _FULL_RANGE, "libwebp": _LIMITED_RANGE}.get(self._encoder)
            video = video.reformat(format=target, dst_color_range=value_range)
        context = av.CodecContext.create(self._encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = video.width, video.height, target
        context.time_base = self._info.time_base
        context.options = options
        if self._encoder == "mjpeg":
            context.color_range = _FULL_RANGE
            context.qscale, context.global_quality = True, _JPEG_QUANTISER * _FF_QP2LAMBDA
            video.pict_type = 0
        video.pts, video.time_base = 0, self._info.time_base
        packets = context.encode(video) + context.encode(None)
        return b"".join(bytes(packet) for packet in packets)


def _pixel_formats(encoder: str) -> tuple[str, ...]:
    """What readers of the format expect: full-range YUV in JPEG, RGB or grey in PNG, BMP and TIFF."""
    names = tuple(item.name for item in av.Codec(encoder, "w").video_formats or ())
    if encoder == "mjpeg":
        return tuple(name for name in names if name.startswith("yuvj"))
    if encoder == "libwebp":
        return names
    if encoder in ("bmp", "tiff"):
        # Their readers disagree on what transparency means.
        names = tuple(name for name in names if name not in ("bgra", "rgba", "rgba64le", "ya8", "ya16le"))
    return tuple(name for name in names if not name.startswith("yuv"))


def upright(video: av.VideoFrame, display_matrix: tuple[int, ...] | None) -> av.VideoFrame:
    """A copy turned and mirrored as its display matrix asks, plane by plane, without any loss or side data.

    Only 4:2:2 becomes 4:4:4 when it is turned by a quarter.
    """
    if display_matrix is None:
        return bare_copy(video)
    a, b, c, d = (np.sign(display_matrix[at]) for at in (0, 1, 3, 4))
    quarter = a == 0
    if quarter and video.format.name in _EQUAL_AXES:
        video = video.reformat(format=_EQUAL_AXES[video.format.name])
    layout = pixel_format(video.format.name)
    width, height = (video.height, video.width) if quarter else (video.width, video.height)
    turned = bare_frame(video, width, height)
    for index in range(len(video.planes)):
        plane: AnyArray = plane_view(video, index, layout)
        # x' = a x + c y, y' = b x + d y: swap the axes first, then mirror each.
        if quarter:
            plane = plane.swapaxes(0, 1)
        if (c if quarter else a) < 0:
            plane = plane[:, ::-1]
        if (b if quarter else d) < 0:
            plane = plane[::-1]
        plane_view(turned, index, layout)[...] = plane
    return turned
