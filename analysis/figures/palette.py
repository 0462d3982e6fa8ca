"""Colors that tell series apart which have none of their own."""

from __future__ import annotations

COLORS = ("#1b6cb8", "#d97742", "#0f7a62", "#a97edb", "#7a7567", "#b8891c", "#3f7798", "#d86f9b")
"""Colors of the first series, the second, and so on. Neighbors also differ in lightness, and each color has a contrast
of at least 3 with the light and the dark page."""
