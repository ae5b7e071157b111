"""Faces that touch: when contact begins, when it is over, and whether two were exchanged in it."""

from __future__ import annotations

import numpy as np

from streamer.analysis.appearance import distance as appearance_distance
from streamer.analysis.observation import Observation
from streamer.analysis.track import Contact, Track

_BEGIN_WIDTHS = 0.8
_END_WIDTHS = 1.1
_DEEP_WIDTHS = 0.45
_CLEAR_LOOK = 0.1


def is_still_owner(contact: Contact, track: Track, item: Observation) -> bool:
    """Whether what is left after the rival was lost looks like the track and not like its rival."""
    own = track.look_distance(item)
    if own is None or contact.rival_thumbnail is None or item.thumbnail is None:
        return not contact.deep
    return own < appearance_distance(contact.rival_thumbnail, item.thumbnail) - _CLEAR_LOOK / 2.0


def pairs_near_or_in_contact(tracks: list[Track]) -> list[tuple[Track, Track]]:
    """The pairs that `contact_between` has to look at: all others are far apart and have never met."""
    if len(tracks) < 2:
        return []
    centres = np.stack([track.motion.centre_xy_px for track in tracks])
    sizes = np.array([track.motion.size_px for track in tracks])
    apart_px = np.linalg.norm(centres[:, None] - centres[None, :], axis=2)
    near = apart_px <= _BEGIN_WIDTHS * np.maximum((sizes[:, None] + sizes[None, :]) / 2.0, 1.0)
    return [
        (first, second)
        for row, first in enumerate(tracks)
        for column, second in enumerate(tracks[row + 1 :], start=row + 1)
        if near[row, column] or second.track_id in first.contacts
    ]


def contact_between(first: Track, second: Track, *, both_seen: bool) -> tuple[Contact | None, bool]:
    """Follow the contact of two tracks. Returns it, where there is one, and whether they are apart again."""
    apart_px = float(np.linalg.norm(first.motion.centre_xy_px - second.motion.centre_xy_px))
    apart_widths = apart_px / max((first.motion.size_px + second.motion.size_px) / 2.0, 1.0)
    contact = first.contacts.get(second.track_id)
    if contact is None:
        if apart_widths > _BEGIN_WIDTHS or not first.was_seen_beside(second):
            return None, True
        contact = first.contacts[second.track_id] = Contact(second.thumbnail)
        second.contacts[first.track_id] = Contact(first.thumbnail)
    if apart_widths < _DEEP_WIDTHS or not both_seen:
        contact.deep = second.contacts[first.track_id].deep = True
    return contact, apart_widths > _END_WIDTHS


def is_swap_excluded(
    first: Track, second: Track, items: tuple[Observation | None, Observation | None], *, deep: bool
) -> bool:
    """Whether two tracks certainly still follow the people they began with.

    After a deep contact appearance must say so clearly; after a shallow one, in which both were always seen
    apart, motion is believed unless appearance clearly says the opposite.
    """
    straight, swapped = 0.0, 0.0
    for item, owner, rival in ((items[0], first, second), (items[1], second, first)):
        if item is None:
            continue
        own, others = owner.look_distance(item), rival.look_distance(item)
        if own is None or others is None:
            return not deep
        straight, swapped = straight + own, swapped + others
    clear = _CLEAR_LOOK if None not in items else _CLEAR_LOOK / 2.0
    return straight < swapped - clear if deep else straight < swapped + clear
