"""Hostile files: mutants of `.siren` files, and what reading them may do."""
