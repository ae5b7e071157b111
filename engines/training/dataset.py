"""Training samples: what the decoder sees, and the picture it should have made of it.

A person's appearance, warped to another picture of the same person, must become that picture; its face is
never an input, only its surroundings and colour grid are. A share of the samples puts one person's
appearance into another person's scene, as the product does; those have no true picture and are judged by
identity, colour and seams alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from engines.face import conditioning
from engines.face.pose import HeadPose, crop_from_mesh, head_pose
from engines.face.surroundings import BLUR_PX
from engines.face.template import CROP_SIDE_PX, transform_points
from engines.face.topology import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, OVAL, mirrored, mouth_opening
from engines.face.warp import OPEN_MOUTH, apply_field, warp_field
from engines.identity import IdentityEncoder
from engines.training import degrade
from engines.training.pictures import Face, People, Person

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

# Pixels of mouth and eyes count this much more: they are few, and they are what a viewer looks at.
_FEATURE_WEIGHT = 4.0
# And the inside of an open mouth: no appearance shows it, so all of it is to be painted.
_MOUTH_WEIGHT = 14.0
_MOUTH_IS_OPEN = 0.08
# Neighbouring frames of a video: the face has moved by at most so many crop px, and its landmarks shake.
_STEP_PX, _SHAKE_PX = 2.0, 0.25
# How much larger than its own the hole of a sample is: from, and up to but not.
_HOLE_GROWTH_PX = (0, 5)
# How much the surroundings are softened; about what the product does, so that this can be chosen afterwards.
_SOFTENED_PX = (1.0, 5.0)
_TONES_KEPT = 512
_REFRESH_EVERY = 3000


@dataclass
class Sample:
    """One training sample, all float32; pictures are RGB in 0..1, channels first.

    Attributes:
        conditioning: (12, 128, 128), the decoder's input.
        warp: (3, 128, 128), the warped appearance, unmasked.
        target: (3, 128, 128), the true picture. In a cross sample only its part outside the hole means
            anything.
        hole: (1, 128, 128), 1 in the hole where the target is a real pixel and not padding.
        weight: (1, 128, 128), importance of each pixel.
        code: (128,), recognition code of the person as asked.
        host_code: (128,), that of the person in the scene.
        paired: (), 1 when the target shows the same person, 0 in a cross sample.
        moved_px: (2,), how far right and down the face is from where `make_neighbours` showed it first.
    """

    conditioning: Float32Array
    warp: Float32Array
    target: Float32Array
    hole: Float32Array
    weight: Float32Array
    code: Float32Array
    host_code: Float32Array
    paired: Float32Array
    moved_px: Float32Array


@dataclass(frozen=True)
class Shares:
    """How often each kind of sample and damage comes, in 0..1."""

    teacher: float = 0.65
    cross: float = 0.2
    open_mouth: float = 0.5
    other_hole: float = 0.6
    tone_of_another: float = 0.5
    exposure: float = 0.35
    resolution: float = 0.5
    matched_sharpness: float = 0.75
    noise: float = 0.3
    coding: float = 0.4
    occluder: float = 0.15
    hidden_mouth: float = 0.5
    recoloured: float = 0.0


@dataclass
class _Scene:
    """A real crop: picture and mesh in crop px, and where the picture is no padding."""

    crop: Float32Array
    mesh: Float64Array
    valid: UInt8Array
    moved_px: Float64Array


class SampleMaker:
    """Draws samples from the people. Not thread-safe; each worker has its own.

    Args:
        held_out: draw from the people that training never sees.
    """

    def __init__(
        self,
        people: People,
        encoder: IdentityEncoder,
        rng: np.random.Generator,
        shares: Shares,
        *,
        held_out: bool = False,
    ) -> None:
        self._people, self._encoder, self._rng, self._shares = people, encoder, rng, shares
        self._held_out = held_out
        self._teacher, self._portraits = people.split(held_out=held_out)
        self._tones: deque[Float32Array] = deque(maxlen=_TONES_KEPT)
        self._made = 0

    def make(self, *, cross: bool | None = None) -> Sample:
        """The next sample, of the kind that is asked for or else by chance."""
        if self._made % _REFRESH_EVERY == _REFRESH_EVERY - 1:
            self._people.refresh()
            self._teacher, self._portraits = self._people.split(held_out=self._held_out)
        self._made += 1
        return self._make(cross, None)

    def make_neighbours(self) -> tuple[Sample, Sample]:
        """Two samples as of neighbouring frames: the same face a little further, with other noise on it."""
        generator, tones = self._rng.bit_generator, self._tones.copy()
        before = generator.state
        first = self.make()
        after, generator.state, self._tones = generator.state, before, tones
        # The same draws again: sensor noise and block coding stay where they were and the face moves under them.
        second = self._make(None, np.random.default_rng(self._made))
        generator.state = after
        return first, second

    def put(self, person: Person, host: Person) -> Sample:
        """This person's appearance in a scene of that one."""
        return self._sample(person, host, True, None)

    def _make(self, wanted_cross: bool | None, step: np.random.Generator | None) -> Sample:
        """`step` draws the way to a neighbouring frame; None for a frame by itself."""
        person = self._draw_person()
        by_chance = bool(self._rng.random() < self._shares.cross)
        cross = by_chance if wanted_cross is None else wanted_cross
        return self._sample(person, self._draw_person() if cross else person, cross, step)

    def _sample(self, person: Person, host: Person, cross: bool, step: np.random.Generator | None) -> Sample:
        rng, flip = self._rng, bool(self._rng.random() < 0.5)
        appearance = person.appearances[rng.integers(len(person.appearances))]
        face = self._draw_face(host)
        scene = self._scene(face, flip, np.zeros(2) if step is None else step.uniform(-_STEP_PX, _STEP_PX, 2))
        wanted = self._borrowed_motion(appearance, host, face, scene, flip) if cross else scene.mesh
        if step is not None:
            wanted = wanted + step.normal(0, _SHAKE_PX, wanted.shape)
        return self._assemble(appearance, face, scene, wanted, flip, cross)

    def _draw_person(self) -> Person:
        use_teacher = self._rng.random() < self._shares.teacher
        group = self._teacher if (use_teacher and self._teacher) or not self._portraits else self._portraits
        return group[self._rng.integers(len(group))]

    def _draw_face(self, person: Person) -> Face:
        """Any of the person's pictures; open mouths, which are rare and hard, more often than by chance."""
        faces = person.faces
        first = faces[self._rng.integers(len(faces))]
        if self._rng.random() >= self._shares.open_mouth:
            return first
        others = [faces[i] for i in self._rng.integers(len(faces), size=2)]
        widest: Face = max([first, *others], key=lambda face: mouth_opening(face.mesh_xyz_px))
        return widest

    def _scene(self, face: Face, flip: bool, moved_px: Float64Array) -> _Scene:
        picture, mesh = _flipped(face, flip)
        rng = self._rng
        turn, zoom = np.radians(rng.normal(0, 2.5)), np.exp(rng.normal(0, 0.04))
        jitter = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        base = crop_from_mesh(mesh)
        middle = np.array([64.0, 66.0])
        shift = jitter @ (base[:, 2] - middle) + middle + rng.normal(0, 1.2, 2) + moved_px
        matrix = np.column_stack([jitter @ base[:, :2], shift])
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        valid = np.full(picture.shape[:2], 255, dtype=np.uint8)
        if scale < 0.67:
            picture, matrix_cut = _halved(picture, matrix)
            valid = valid[::2, ::2]
        else:
            matrix_cut = matrix
        side = (CROP_SIDE_PX, CROP_SIDE_PX)
        crop = cv2.warpAffine(picture, matrix_cut, side, borderMode=cv2.BORDER_REFLECT_101)
        known = cv2.warpAffine(valid, matrix_cut, side, borderMode=cv2.BORDER_CONSTANT)
        return _Scene(
            np.asarray(crop, dtype=np.float32),
            transform_points(matrix, mesh),
            (np.asarray(known) > 250).astype(np.uint8),
            moved_px,
        )

    def _borrowed_motion(
        self, appearance: Face, host: Person, face: Face, scene: _Scene, flip: bool
    ) -> Float64Array:
        """The appearance's own shape, with the pose and the change of expression of the host's face."""
        own = _flipped_mesh(appearance, flip)
        shape = head_pose(own).image_from_canonical.inverse().apply(own)
        pose = head_pose(scene.mesh).image_from_canonical
        if host.neutral_known:
            calm = _flipped_mesh(host.faces[0], flip)
            now = pose.inverse().apply(scene.mesh)
            shape = shape + now - head_pose(calm).image_from_canonical.inverse().apply(calm)
        return pose.apply(shape)

    def _assemble(
        self, appearance: Face, face: Face, scene: _Scene, wanted: Float64Array, flip: bool, cross: bool
    ) -> Sample:
        rng, shares, same_picture = self._rng, self._shares, face is appearance
        target_mesh = self._shaken(wanted, 0.35, 0.012 + 0.02 * same_picture)
        picture, source_mesh = _flipped(appearance, flip)
        field = warp_field(target_mesh, source_mesh[:, :2] + rng.normal(0, 0.3, (len(source_mesh), 2)))
        warped = np.clip(apply_field(field.source_xy_px, picture), 0.0, 1.0)
        hole = self._hole(scene, cross)
        silhouette = field.silhouette
        if same_picture and rng.random() < shares.hidden_mouth:
            silhouette = _without_mouth(silhouette, target_mesh)
        outline = self._outline(silhouette, hole, head_pose(target_mesh))
        warped = self._relit(warped, outline, same_picture)
        if rng.random() < shares.recoloured:
            scene.crop = degrade.recolour_surroundings(scene.crop, scene.mesh, rng)
        truth, seen, warped = self._damaged(scene.crop, warped)
        if rng.random() < shares.occluder:
            seen = degrade.occlude(seen, scene.mesh, rng)
            # The synthetic face is shown whole: what covers the real one ends at the hole.
            truth = np.where(hole[..., None] > 0, truth, seen)
        grid = conditioning.colour_grid(seen, conditioning.skin_mask(scene.mesh))
        self._tones.append(grid[2:6, 2:6].mean(axis=(0, 1)))
        lines, blur_px = conditioning.drawing(target_mesh), float(rng.uniform(*_SOFTENED_PX))
        if self._held_out:
            blur_px = BLUR_PX
        inputs = conditioning.pack(warped, seen, hole, outline, grid, lines, blur_px=blur_px)
        known = (hole & scene.valid).astype(np.float32)
        return Sample(
            conditioning=inputs,
            warp=np.ascontiguousarray(warped.transpose(2, 0, 1)),
            target=np.ascontiguousarray(truth.transpose(2, 0, 1)),
            hole=known[None],
            weight=_importance(wanted)[None],
            code=appearance.code(self._encoder).astype(np.float32),
            host_code=face.code(self._encoder).astype(np.float32),
            paired=np.array(not cross, dtype=np.float32),
            moved_px=scene.moved_px.astype(np.float32),
        )

    def _shaken(self, mesh: Float64Array, sigma_px: float, stretch: float) -> Float64Array:
        """Landmark noise: every point by itself, and the whole mesh a little sheared, stretched and
        shifted.
        """
        rng, centre = self._rng, mesh.mean(axis=0)
        bend = np.eye(3)
        bend[:2, :2] += rng.normal(0, stretch, (2, 2))
        noise = rng.normal(0, sigma_px, mesh.shape)
        shift = np.append(rng.normal(0, 0.5, 2), 0.0)
        return np.asarray((mesh - centre) @ bend.T + centre + noise + shift, dtype=np.float64)

    def _other_shape(self, pose: HeadPose) -> Float64Array:
        """Somebody else's face in the given pose, crop px."""
        other = self._draw_person().faces[0].mesh_xyz_px.astype(np.float64)
        neutral = head_pose(other).image_from_canonical.inverse().apply(other)
        return pose.image_from_canonical.apply(neutral * self._rng.uniform(0.96, 1.12, 3))

    def _hole(self, scene: _Scene, cross: bool) -> UInt8Array:
        """The hole of the true face, often widened to that of a face of another shape."""
        hole = conditioning.hole_mask(scene.mesh)
        if not cross and self._rng.random() < self._shares.other_hole:
            hole = hole | conditioning.hole_mask(self._other_shape(head_pose(scene.mesh)))
        reach = 0 if self._held_out else int(self._rng.integers(*_HOLE_GROWTH_PX))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        return np.asarray(cv2.dilate(hole, disc), dtype=np.uint8)

    def _outline(self, silhouette: UInt8Array, hole: UInt8Array, pose: HeadPose) -> Float32Array:
        """Outline of the synthetic face, sometimes cut narrower than its own silhouette."""
        rng = self._rng
        if rng.random() < 0.35:
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
            inner = cv2.erode((silhouette > 0).astype(np.uint8), disc, iterations=int(rng.integers(1, 6)))
            silhouette = silhouette * np.asarray(inner, dtype=np.uint8)
        if rng.random() < 0.25:
            other = np.clip(self._other_shape(pose)[OVAL, :2], -200, 328)
            mask = np.zeros_like(silhouette)
            cv2.fillPoly(mask, [np.round(other).astype(np.int32)], 255)
            if ((mask & silhouette) > 0).sum() > 0.5 * (silhouette > 0).sum():
                silhouette = silhouette & mask
        return conditioning.outline_mask(silhouette, hole)

    def _relit(self, warped: Float32Array, outline: Float32Array, same_picture: bool) -> Float32Array:
        rng = self._rng
        share = outline[..., None] / max(float(outline.sum()), 1.0)
        mean = (warped * share).sum(axis=(0, 1))
        tone = mean * np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.05, 3)).astype(np.float32)
        if self._tones and rng.random() < self._shares.tone_of_another:
            tone = self._tones[rng.integers(len(self._tones))]
        elif not same_picture and rng.random() < 0.3:
            return warped
        return degrade.relight(warped, rng, mean, tone).astype(np.float32)

    def _damaged(
        self, crop: Float32Array, warped: Float32Array
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """(what should come out, what the camera delivers, the appearance as it is pasted).

        What is random in the damage (noise, coding) is in the camera's picture only: it cannot be foretold, and a
        decoder that tried would blur. Sharpness goes with the frame on both sides, mostly.
        """
        rng, shares = self._rng, self._shares
        truth = crop
        if rng.random() < shares.exposure:
            truth = degrade.draw_exposure(rng)(truth)
        if rng.random() < shares.resolution:
            loss = degrade.draw_resolution_loss(rng)
            truth = loss(truth)
            if rng.random() < shares.matched_sharpness:
                warped = loss(warped)
        seen = truth
        if rng.random() < shares.noise:
            seen = degrade.add_sensor_noise(seen, rng)
        if rng.random() < shares.coding:
            seen = degrade.draw_coding(rng)(seen)
        return (
            np.clip(truth, 0, 1).astype(np.float32),
            np.clip(seen, 0, 1).astype(np.float32),
            np.clip(warped, 0, 1).astype(np.float32),
        )


def _halved(picture: Float32Array, matrix: Float64Array) -> tuple[Float32Array, Float64Array]:
    """Picture at half size, and the matrix that cuts the same crop out of it."""
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    linear = matrix[:, :2] * 2.0
    return np.asarray(small, dtype=np.float32), np.column_stack(
        [linear, matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5)]
    )


def _flipped_mesh(face: Face, flip: bool) -> Float64Array:
    mesh = face.mesh_xyz_px.astype(np.float64)
    # The width only shifts the mesh, and whoever asks for the mesh alone looks at its shape alone.
    return np.asarray(mirrored(mesh, 0), dtype=np.float64) if flip else mesh


def _flipped(face: Face, flip: bool) -> tuple[Float32Array, Float64Array]:
    picture = face.picture_f32()
    mesh = face.mesh_xyz_px.astype(np.float64)
    if not flip:
        return picture, mesh
    return np.ascontiguousarray(picture[:, ::-1]), np.asarray(
        mirrored(mesh, picture.shape[1]), dtype=np.float64
    )


def _without_mouth(silhouette: UInt8Array, mesh: Float64Array) -> UInt8Array:
    """The mouth's interior marked as not shown by the appearance, which in a portrait of its own it is: so that teeth
    are learned from smiling portraits too.
    """
    if mouth_opening(mesh) <= _MOUTH_IS_OPEN:
        return silhouette
    inside = np.zeros_like(silhouette)
    cv2.fillPoly(inside, [np.round(np.clip(mesh[LIPS_INNER, :2], -200, 328)).astype(np.int32)], 1)
    return np.where((inside > 0) & (silhouette > 0), np.uint8(OPEN_MOUTH), silhouette)


def _importance(mesh: Float64Array) -> Float32Array:
    mask = np.zeros((CROP_SIDE_PX, CROP_SIDE_PX), dtype=np.float32)
    for curve in (LIPS_OUTER, EYE_LEFT, EYE_RIGHT):
        cv2.fillPoly(mask, [np.round(np.clip(mesh[curve, :2], -200, 328)).astype(np.int32)], 1.0)
    mask = np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), dtype=np.float32)
    weight = np.asarray(1.0 + (_FEATURE_WEIGHT - 1.0) * mask, dtype=np.float32)
    if mouth_opening(mesh) > _MOUTH_IS_OPEN:
        cv2.fillPoly(
            weight, [np.round(np.clip(mesh[LIPS_INNER, :2], -200, 328)).astype(np.int32)], _MOUTH_WEIGHT
        )
    return weight


def stacked(samples: Sequence[Sample]) -> dict[str, Float32Array]:
    """Each field of `Sample` with the samples along a new first axis."""
    return {item.name: np.stack([getattr(s, item.name) for s in samples]) for item in fields(Sample)}


def batches(maker: SampleMaker, size: int, crossed: int = 0) -> Iterator[dict[str, Float32Array]]:
    """Endless training batches of `size` samples (3 at least): first `crossed` cross samples, then samples by chance,
    and two neighbouring frames at the end.
    """
    while True:
        drawn = [maker.make(cross=True if number < crossed else None) for number in range(size - 2)]
        yield stacked([*drawn, *maker.make_neighbours()])
