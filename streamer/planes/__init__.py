"""The decoder's own planes: small pictures and patches out of them, patches and fills back into them."""

from streamer.planes.fill import FillMode, copy_of, cover_face, mask_whole_frame
from streamer.planes.formats import is_native, planar_equivalent
from streamer.planes.patch import read_patch, write_patch
from streamer.planes.picture import analysis_picture
from streamer.planes.region import FaceRegion

__all__ = [
    "FaceRegion",
    "FillMode",
    "analysis_picture",
    "copy_of",
    "cover_face",
    "is_native",
    "mask_whole_frame",
    "planar_equivalent",
    "read_patch",
    "write_patch",
]
