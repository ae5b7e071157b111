"""Detection in overlapping tiles, for faces that are too small in the picture as a whole."""

from __future__ import annotations

import numpy as np

from engines.detectors.base import Detection, FaceDetector, Floats, PictureU8, finish

# A face cut by a tile's border is given by the neighbour that holds it whole, as long as it fits into the
# overlap.
TILE_PX = 480
OVERLAP_PX = 128
COVERED_SHARE = 0.6
# The box of a cut face may end short of the seam by this share of its longer side.
SEAM_SHARE = 0.2


def detect_tiled(
    detector: FaceDetector,
    picture_rgb_u8: PictureU8,
    whole_rgb_u8: PictureU8 | None = None,
    *,
    tile_px: int = TILE_PX,
    overlap_px: int = OVERLAP_PX,
) -> list[Detection]:
    """Faces of a large picture: every tile at full resolution and the whole picture once, merged.

    Args:
        detector: any detector.
        picture_rgb_u8: (H, W, 3) uint8 RGB at the resolution the tiles are cut from.
        whole_rgb_u8: the same picture at a smaller size for the look at the whole; by default the large one.
        tile_px: side of a tile; the tiles are spread evenly, so neighbours may overlap more than asked.
        overlap_px: least overlap of neighbours, the largest face that only tiles may find.

    Returns:
        Detections in px of `picture_rgb_u8`: whole faces best first, then parts of faces that no tile and
        not the look at the whole picture shows uncut.

    Raises:
        EngineError: as `FaceDetector.detect`.
    """
    height, width = picture_rgb_u8.shape[:2]
    whole = picture_rgb_u8 if whole_rgb_u8 is None else whole_rgb_u8
    scale = np.array([width / whole.shape[1], height / whole.shape[0]], np.float32)
    found = [_moved(face, np.zeros(2, np.float32), scale) for face in detector.detect(whole)]
    cut: list[Detection] = []
    lefts, tops = tile_starts(width, tile_px, overlap_px), tile_starts(height, tile_px, overlap_px)
    if len(lefts) * len(tops) > 1:
        for top in tops:
            for left in lefts:
                tile = picture_rgb_u8[top : top + tile_px, left : left + tile_px]
                for face in detector.detect(tile):
                    parted = _touches_seam(face.box_xyxy_px, left, top, tile.shape, width, height)
                    moved = _moved(face, np.array([left, top], np.float32), np.ones(2, np.float32))
                    (cut if parted else found).append(moved)
    faces = _merge(found, width, height)
    # Part of a face is better covered than not at all: it goes only where a whole face covers it.
    return faces + _merge([part for part in cut if not _covered(part, faces)], width, height)


def _merge(found: list[Detection], width: int, height: int) -> list[Detection]:
    if not found:
        return []
    boxes = np.stack([face.box_xyxy_px for face in found])
    scores = np.array([face.score for face in found], np.float32)
    return finish(boxes, scores, np.stack([face.points_xy_px for face in found]), width, height)


def _covered(part: Detection, faces: list[Detection]) -> bool:
    """Whether some face covers most of the part's box."""
    box = part.box_xyxy_px
    area = np.prod(box[2:] - box[:2])
    for face in faces:
        other = face.box_xyxy_px
        sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        if (sides > 0).all() and np.prod(sides) > COVERED_SHARE * area:
            return True
    return False


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of the fewest tiles that cover `length` with at least `overlap` shared, evenly spread."""
    if length <= tile:
        return [0]
    count = 1 + -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _touches_seam(box: Floats, left: int, top: int, shape: tuple[int, ...], width: int, height: int) -> bool:
    """Whether the box reaches, or nearly so, a border of its tile that is not the picture's own."""
    margin = SEAM_SHARE * float((box[2:] - box[:2]).max())
    return bool(
        (left > 0 and box[0] < margin)
        or (top > 0 and box[1] < margin)
        or (left + shape[1] < width and box[2] > shape[1] - margin)
        or (top + shape[0] < height and box[3] > shape[0] - margin)
    )


def _moved(face: Detection, offset: Floats, scale: Floats) -> Detection:
    return Detection(
        face.box_xyxy_px * np.tile(scale, 2) + np.tile(offset, 2),
        face.score,
        face.points_xy_px * scale + offset,
    )
