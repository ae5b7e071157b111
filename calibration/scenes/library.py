"""Scenes by name, each with one thing that makes coverage or tracking hard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from calibration.scenes.cutout import Cutout
from calibration.scenes.scene import Keyframe, Role, Scene

_FRAMES = 75

Maker = Callable[[Sequence[Cutout], tuple[int, int], int], Scene]


def make_scene(
    name: str, cutouts: Sequence[Cutout], *, size: tuple[int, int] = (640, 360), seed: int = 0
) -> Scene:
    """Make the scene `name` (a key of `SCENES`) with people taken from `cutouts` in a seeded order.

    Args:
        cutouts: at least one; a scene with more people than cutouts uses some of them twice.
        size: (width, height); everything scales with the height.
        seed: decides people, background and details of the paths.
    """
    if name not in SCENES:
        raise ValueError(f"unknown scene {name!r}; there are: {', '.join(SCENES)}")
    if not cutouts:
        raise ValueError("a scene needs at least one cutout")
    order = np.random.default_rng((seed, 7)).permutation(len(cutouts))
    return SCENES[name]([cutouts[index] for index in order], size, seed)


def _person(cutouts: Sequence[Cutout], face_id: int) -> Cutout:
    return cutouts[(face_id - 1) % len(cutouts)]


def _walk(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """One person walks across, nods and comes nearer."""
    width, height = size
    keys = tuple(
        Keyframe(
            frame,
            width * (0.15 + 0.7 * frame / _FRAMES),
            height * (0.45 + 0.04 * np.sin(frame / 4)),
            height * (0.18 + 0.1 * frame / _FRAMES),
            roll_degrees=8 * np.sin(frame / 9),
        )
        for frame in range(_FRAMES)
    )
    return Scene("walk", size, _FRAMES, [Role(1, _person(cutouts, 1), keys)], seed)


def _enter_and_exit(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Four people come in over the four borders and go out again."""
    width, height = size
    face = 0.22 * height
    ways = [
        ((-face, 0.3 * height), (0.25 * width, 0.35 * height)),
        ((width + face, 0.6 * height), (0.75 * width, 0.6 * height)),
        ((0.4 * width, -face), (0.45 * width, 0.3 * height)),
        ((0.6 * width, height + face), (0.55 * width, 0.7 * height)),
    ]
    roles = []
    for face_id, (outside, inside) in enumerate(ways, start=1):
        start = 4 * (face_id - 1)
        keys = (
            Keyframe(start, *outside, face),
            Keyframe(start + 20, *inside, face),
            Keyframe(start + 34, *inside, face, roll_degrees=10),
            Keyframe(start + 60, *outside, face),
        )
        roles.append(Role(face_id, _person(cutouts, face_id), keys, depth=face_id))
    return Scene("enter_and_exit", size, _FRAMES, roles, seed)


def _crossing(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Two people pass one behind the other; two more meet and turn round."""
    width, height = size
    face = 0.2 * height
    far, near = 0.15 * width, 0.85 * width
    upper, lower = 0.3 * height, 0.75 * height
    turn = 0.5 * width
    last = _FRAMES - 1
    pass_left = (Keyframe(0, far, upper, face), Keyframe(last, near, upper, face))
    pass_right = (Keyframe(0, near, upper, face), Keyframe(last, far, upper, face))
    meet_left = (
        Keyframe(0, far, lower, face),
        Keyframe(last / 2, turn - 0.15 * face, lower, face),
        Keyframe(last, far, lower, face),
    )
    meet_right = (
        Keyframe(0, near, lower, face),
        Keyframe(last / 2, turn + 0.15 * face, lower, face),
        Keyframe(last, near, lower, face),
    )
    ways = (pass_left, pass_right, meet_left, meet_right)
    roles = [Role(n, _person(cutouts, n), keys, depth=n) for n, keys in enumerate(ways, start=1)]
    return Scene("crossing", size, _FRAMES, roles, seed)


def _small(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Twelve faces of 12 to 36 px (at 360 px height) that drift slowly."""
    random = np.random.default_rng(seed)
    width, height = size
    roles = []
    for face_id in range(1, 13):
        column, row = (face_id - 1) % 4, (face_id - 1) // 4
        x, y = width * (0.14 + 0.24 * column), height * (0.2 + 0.3 * row)
        face = height / 360 * (12 + 2.2 * (face_id - 1))
        drift = random.uniform(-0.04, 0.04, 2) * width
        keys = (Keyframe(0, x, y, face), Keyframe(_FRAMES - 1, x + drift[0], y + 0.5 * drift[1], face))
        roles.append(Role(face_id, _person(cutouts, face_id), keys))
    return Scene("small", size, _FRAMES, roles, seed)


def _low_light(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Three people in a dark and noisy picture."""
    width, height = size
    roles = [
        Role(
            n,
            _person(cutouts, n),
            (
                Keyframe(0, width * 0.22 * n, height * 0.5, 0.2 * height),
                Keyframe(_FRAMES - 1, width * (0.22 * n + 0.1), height * 0.45, 0.2 * height),
            ),
        )
        for n in (1, 2, 3)
    ]
    return Scene("low_light", size, _FRAMES, roles, seed, noise=7.0, light=0.22)


def _blur(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Two people who go out of focus and back, and one who runs through, blurred."""
    width, height = size
    face = 0.2 * height
    focus = [
        Role(
            n,
            _person(cutouts, n),
            (
                Keyframe(0, x, 0.35 * height, face),
                Keyframe(25, x, 0.35 * height, face, blur_px=0.09 * face),
                Keyframe(45, x + 0.2 * face, 0.35 * height, face, blur_px=0.09 * face),
                Keyframe(_FRAMES - 1, x + 0.2 * face, 0.35 * height, face),
            ),
            depth=1.0,
        )
        for n, x in ((1, 0.25 * width), (2, 0.7 * width))
    ]
    run = (
        Keyframe(20, -face, 0.75 * height, face, blur_px=0.05 * face),
        Keyframe(50, width + face, 0.7 * height, face, blur_px=0.05 * face),
    )
    return Scene("blur", size, _FRAMES, [*focus, Role(3, _person(cutouts, 3), run)], seed)


def _turning(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Two people who turn aside so far that a detector may lose them, in changing light, under a moving
    camera.
    """
    width, height = size
    face = 0.22 * height
    roles = []
    for n, x in ((1, 0.3 * width), (2, 0.7 * width)):
        keys = tuple(
            Keyframe(
                frame,
                x + 0.1 * width * np.sin(frame / 14 + n),
                0.5 * height,
                face,
                roll_degrees=25 * np.sin(frame / 11),
                squeeze=0.72 + 0.28 * np.cos(frame / 9 + n),
                brightness=1.0 + 0.35 * np.sin(frame / 7),
            )
            for frame in range(_FRAMES)
        )
        roles.append(Role(n, _person(cutouts, n), keys))
    return Scene("turning", size, _FRAMES, roles, seed, pan_px=2.0 * width / 640)


def _cut(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Three shots with other people at nearly the same places."""
    width, height = size
    shot: Scene | None = None
    for part in (2, 1, 0):
        roles = [
            Role(
                2 * part + n,
                _person(cutouts, 2 * part + n),
                (
                    Keyframe(0, width * (0.33 * n) + 4 * part, height * 0.5, 0.24 * height),
                    Keyframe(29, width * (0.33 * n + 0.04), height * 0.47, 0.24 * height),
                ),
            )
            for n in (1, 2)
        ]
        shot = Scene("cut", size, 30, roles, seed + 100 * part, then=shot)
    assert shot is not None
    return shot


def _crowd(cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Scene:
    """Ten people of many sizes who wander and pass one another."""
    random = np.random.default_rng(seed)
    width, height = size
    roles = []
    for face_id in range(1, 11):
        places = random.uniform((0.05, 0.2), (0.95, 0.8), (4, 2)) * (width, height)
        face = height * float(np.exp(random.uniform(np.log(0.09), np.log(0.28))))
        times = np.linspace(0, _FRAMES - 1, 4)
        # People do not run: shorten every leg to a believable pace.
        for leg in range(1, 4):
            step = places[leg] - places[leg - 1]
            places[leg] = places[leg - 1] + step * min(1.0, 2.5 * face / float(np.linalg.norm(step)))
        keys = tuple(Keyframe(t, x, y, face) for t, (x, y) in zip(times, places, strict=True))
        roles.append(Role(face_id, _person(cutouts, face_id), keys, depth=-face))
    return Scene("crowd", size, _FRAMES, roles, seed)


SCENES: dict[str, Maker] = {
    "walk": _walk,
    "enter_and_exit": _enter_and_exit,
    "crossing": _crossing,
    "small": _small,
    "low_light": _low_light,
    "blur": _blur,
    "turning": _turning,
    "cut": _cut,
    "crowd": _crowd,
}
