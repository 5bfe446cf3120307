"""Phrasings that no model is trained on, of words that `words` and `words_rich` have.

Each table takes the place of theirs; what is missing here is said as there.
"""

from __future__ import annotations

NOUNS = ("{size}{shape} coloured {colour}",)
MOTION_PHRASES = {
    "still": ("stay in place", "rest motionless", "hold still in place"),
    "right": ("slide from left to right", "head to the right", "travel right"),
    "left": ("slide from right to left", "head to the left", "travel left"),
    "up": ("float straight up", "head upward", "travel up"),
    "down": ("float straight down", "head downward", "travel down"),
    "bounce": ("keep jumping up and down", "bounce back up again and again"),
    "grow": ("get bigger and bigger", "grow bigger"),
    "shrink": ("become smaller and smaller", "get tinier and tinier"),
    "spin": ("spin in place", "turn round and round"),
    "circle": ("travel in a circle", "orbit in circles"),
    "up right": ("float diagonally up and to the right", "rise to the right"),
    "up left": ("float diagonally up and to the left", "rise to the left"),
    "down right": ("float diagonally down and to the right", "drop to the right"),
    "down left": ("float diagonally down and to the left", "drop to the left"),
}
SUBJECTS = {
    ("", False): ("a video that shows {a}", "we are shown {a}"),
    ("", True): ("a video in which {a} {a_does}", "we see that {a} {a_does}"),
    ("left of", False): ("there is {b}, and on the left of it {a}",),
    ("left of", True): ("left of {b} that {b_does}, {a} is {a_doing}",),
    ("above", False): ("there is {b}, and above it {a}",),
    ("above", True): ("over {b} that {b_does}, {a} is {a_doing}",),
    ("collide", False): (
        "{a} and {b} meet and crash",
        "{b} and {a} come together and hit each other",
    ),
    ("behind", False): ("{a} comes out again from behind a grey wall",),
    ("behind", True): ("hidden by a wall for a while, {a} {a_does}",),
}
LOOSE_PAIR = ("we see {a} together with {b}",)
LOOSE_PAIR_MOVING = ("we see {a} {a_doing} together with {b} {b_doing}",)
CAMERA_CLAUSES = {
    "still": ("with a still camera",),
    "pan left": ("the view turns to the left",),
    "pan right": ("the view turns to the right",),
    "zoom in": ("the view comes closer",),
    "zoom out": ("the view moves away",),
}
LIGHT_CLAUSES = {
    "steady": ("the light stays steady",),
    "dusk": ("the scene becomes dark",),
    "dawn": ("the scene becomes light",),
}
CUTS = (
    "it begins with {0}, then the next shot shows {1}",
    "{0}; then, after a cut, {1}",
)
TURNS = ("{0}, after which, in the same shot, {1}",)
