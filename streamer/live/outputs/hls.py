"""HLS: a playlist and segments in a folder, for any web server."""

from __future__ import annotations

import av
from av.container import OutputContainer

from streamer.live.outputs.muxer import ContainerMuxer
from streamer.live.settings import HlsOutput

PLAYLIST = "index.m3u8"


class HlsMuxer(ContainerMuxer):
    """One run of an HLS playlist. A later run goes on with it, after a discontinuity mark."""

    def __init__(self, settings: HlsOutput) -> None:
        super().__init__()
        self._settings = settings

    def _container(self) -> OutputContainer:
        folder = self._settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        container: OutputContainer = av.open(
            str(folder.absolute() / PLAYLIST),
            "w",
            format="hls",
            options={
                # A little less than asked for: a key frame that comes a frame early still ends the segment.
                "hls_time": f"{max(0.1, self._settings.segment_seconds - 0.1):g}",
                "hls_list_size": str(self._settings.keep),
                "hls_delete_threshold": "2",
                # Files appear whole; what is no longer in the playlist is deleted.
                "hls_flags": "delete_segments+append_list+discont_start+temp_file+independent_segments"
                "+program_date_time",
                "hls_segment_filename": str(folder.absolute() / "segment-%09d.ts"),
            },
        )
        return container
