"""Synthetic people at more than the codebook's 256 px: rendered anew by the teacher generator (`--decoder quality`)."""
