"""Attacks on our own claims: what the mechanism really spends, and what an attacker gets from the pictures.

The cores here work on counts and on arrays of embeddings. How the pictures were made, and by whom they were
recognised, is the caller's business.
"""
