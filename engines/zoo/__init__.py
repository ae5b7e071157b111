"""The model registry: every weight with its role, source, sha256, licence, inputs and outputs."""

from __future__ import annotations
