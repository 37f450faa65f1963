"""The colours of everything that the program draws: plots, layers, boxes and charts.

They are those of Okabe and Ito, "Color Universal Design", jfly.uni-koeln.de/color, which
colour-blind eyes tell apart.
"""

__all__ = [
    "BLUE",
    "CLASS_COLORS",
    "GREEN",
    "ORANGE",
    "PREDICTION",
    "PURPLE",
    "SKY",
    "TRUTH",
    "VERMILLION",
    "WHITE",
    "YELLOW",
]

BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, ORANGE, SKY, YELLOW = "#cc79a7", "#e69f00", "#56b4e9", "#f0e442"
WHITE = "#ffffff"

CLASS_COLORS = (BLUE, ORANGE, PURPLE, GREEN, YELLOW, SKY, VERMILLION)
"""Colours of the classes in order, background first."""

PREDICTION, TRUTH = ORANGE, SKY
"""Colours of masks in figures."""
