"""More phrasings of the playground's facts: added to those of `words`."""

from __future__ import annotations

SHAPE_WORDS = {
    "ball": ("disc",),
    "square": ("block",),
    "cross": ("plus",),
}
SIZE_WORDS = {
    "small": ("very small",),
    "medium": ("normal-sized", "average-sized"),
    "big": ("very big", "giant"),
}
NOUNS = (
    "{size}{colour} {shape}",  # the usual one again, which stays the most frequent
    "{size}{colour}-coloured {shape}",
)
VERBS = {
    "ascend": ("ascends", "ascending"),
    "become": ("becomes", "becoming"),
    "cross": ("crosses", "crossing"),
    "descend": ("descends", "descending"),
    "drift": ("drifts", "drifting"),
    "drop": ("drops", "dropping"),
    "enlarge": ("enlarges", "enlarging"),
    "fly": ("flies", "flying"),
    "head": ("heads", "heading"),
    "hold": ("holds", "holding"),
    "hop": ("hops", "hopping"),
    "jump": ("jumps", "jumping"),
    "keep": ("keeps", "keeping"),
    "loop": ("loops", "looping"),
    "orbit": ("orbits", "orbiting"),
    "pass": ("passes", "passing"),
    "revolve": ("revolves", "revolving"),
    "sit": ("sits", "sitting"),
    "swell": ("swells", "swelling"),
    "whirl": ("whirls", "whirling"),
}
MOTION_PHRASES = {
    "still": ("hold still", "sit still", "stay where it is", "sit there motionless"),
    "right": (
        "drift right",
        "drift to the right",
        "head right",
        "go to the right",
        "pass from left to right",
        "cross from left to right",
        "fly to the right",
    ),
    "left": (
        "drift left",
        "drift to the left",
        "head left",
        "go to the left",
        "pass from right to left",
        "cross from right to left",
        "fly to the left",
    ),
    "up": (
        "ascend",
        "drift upward",
        "head up",
        "fly up",
        "go straight up",
        "move upward",
    ),
    "down": (
        "descend",
        "drift downward",
        "head down",
        "drop",
        "go straight down",
        "move downward",
    ),
    "bounce": (
        "hop up and down",
        "jump up and down",
        "keep bouncing",
        "bounce off the floor",
        "jump again and again",
    ),
    "grow": ("become bigger", "become larger", "get larger", "swell", "enlarge"),
    "shrink": ("become smaller", "get tinier", "get smaller and smaller"),
    "spin": (
        "spin around",
        "turn around in place",
        "whirl",
        "revolve",
        "rotate in place",
    ),
    "circle": (
        "go around in a circle",
        "loop around",
        "orbit",
        "fly in circles",
        "move around in a circle",
    ),
    "up right": (
        "move diagonally up to the right",
        "drift up and right",
        "head up and to the right",
        "move to the upper right",
        "go diagonally to the upper right",
    ),
    "up left": (
        "move diagonally up to the left",
        "drift up and left",
        "head up and to the left",
        "move to the upper left",
        "go diagonally to the upper left",
    ),
    "down right": (
        "move diagonally down to the right",
        "drift down and right",
        "head down and to the right",
        "move to the lower right",
        "go diagonally to the lower right",
    ),
    "down left": (
        "move diagonally down to the left",
        "drift down and left",
        "head down and to the left",
        "move to the lower left",
        "go diagonally to the lower left",
    ),
}
SUBJECTS = {
    ("", False): ("here is {a}", "just {a}", "{a} is shown", "show {a}"),
    ("", True): (
        "{a}, {a_doing}",
        "{a} that {a_does}",
        "here is {a} {a_doing}",
        "show {a} {a_doing}",
        "a video of {a} {a_doing}",
    ),
    ("left of", False): (
        "{a} is to the left of {b}",
        "{b} is to the right of {a}",
        "to the left of {b} is {a}",
        "on the left {a}, on the right {b}",
    ),
    ("left of", True): (
        "{a} is {a_doing} on the left while {b} is {b_doing} on the right",
        "on the right {b} {b_does}, and to the left of it {a} {a_does}",
        "{a} {a_does}; to the right of it {b} {b_does}",
    ),
    ("above", False): (
        "{a} is above {b}",
        "{b} is below {a}",
        "{b} with {a} above it",
        "at the top {a}, at the bottom {b}",
    ),
    ("above", True): (
        "{a} is {a_doing} at the top while {b} is {b_doing} at the bottom",
        "at the bottom {b} {b_does}, and above it {a} {a_does}",
        "{a} {a_does}; below it {b} {b_does}",
    ),
    ("collide", False): (
        "{a} and {b} run into each other",
        "there are {a} and {b}, and they collide",
        "{a} and {b} come together and collide",
        "{a} and {b} hit each other",
        "{a} and {b} crash",
        "{a} and {b} meet and collide",
    ),
    ("behind", False): (
        "{a} behind a grey wall",
        "{a} moves behind a wall",
        "{a} vanishes behind a wall and appears again",
        "a grey wall hides {a} for a while",
        "{a} goes behind a wall and comes back out",
    ),
    ("behind", True): (
        "{a} {a_does} behind a wall",
        "{a} is {a_doing}, and a grey wall hides it for a while",
        "{a} {a_does}, vanishes behind a wall and appears again",
    ),
}
LOOSE_PAIR = ("{a}, {b}", "there are {a} and {b}", "{a} together with {b}")
LOOSE_PAIR_MOVING = (
    "{a} {a_does} while {b} {b_does}",
    "{a} is {a_doing} and {b} is {b_doing}",
)
BACKGROUND_WORDS = {
    "green floor": ("a floor that is green", "green ground"),
    "blue floor": ("a floor that is blue", "blue ground"),
    "brown floor": ("a floor that is brown", "brown ground"),
    "grey stripes": ("a wall with grey stripes", "a striped background", "stripes"),
    "checkered wall": ("a wall with checks", "a checked wall", "checks"),
    "dotted wall": ("a wall with dots", "a spotted wall", "dots"),
    "hills": ("hills", "some green hills", "a landscape of hills"),
}
CAMERA_CLAUSES = {
    "still": ("the camera does not turn", "the view stays the same"),
    "pan left": ("the camera swings left", "the camera turns left"),
    "pan right": ("the camera swings right", "the camera turns right"),
    "zoom in": ("the camera comes closer", "the picture zooms in"),
    "zoom out": ("the camera moves away", "the picture zooms out"),
}
LIGHT_CLAUSES = {
    "steady": ("the light does not change", "it stays light"),
    "dusk": ("night falls", "the sun sets", "it becomes dark", "the light goes out"),
    "dawn": ("the sun comes up", "it becomes light", "morning comes", "night ends"),
}
FIRST_CONNECTORS = ("; ",)
LAST_CONNECTORS = ("; ",)
IMAGE_OPENINGS = ("a photo of ", "a drawing of ")
VIDEO_OPENINGS = ("in this video ", "a short clip: ")
CUTS = (
    "{0}, and then {1}",
    "{0}. then it cuts to {1}",
    "{0}. after that, {1}",
    "it begins with {0} and ends with {1}",
    "{0}; the next shot shows {1}",
)
TURNS = ("{0}, and then, without a cut, {1}", "{0}, after which {1}, all in one shot")
