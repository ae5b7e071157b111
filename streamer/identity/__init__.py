"""Which synthetic person a track wears: drawn once under epsilon, held for the track."""

from streamer.identity.keeper import IdentityKeeper, IdentityRefusal

__all__ = ["IdentityKeeper", "IdentityRefusal"]
