"""Proximal policy optimisation: maths as pure functions, and the trainer that wires them to TRL."""
