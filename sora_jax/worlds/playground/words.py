"""The words of the playground: every phrasing of every fact, as tables.

In templates `{a}` and `{b}` are the first and second body, `{a_does}` and `{a_doing}`
what it does ("bounces", "bouncing").
"""

from __future__ import annotations

SHAPE_WORDS = {
    "ball": ("ball", "ball", "circle"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "plus sign"),
    "ring": ("ring", "ring", "hoop"),
}
SIZE_WORDS = {
    "small": ("small", "small", "little", "tiny"),
    "medium": ("medium-sized", "mid-sized", "medium"),
    "big": ("big", "big", "large", "huge"),
}
# "{size}" brings its own space, and may be empty; an article is put before.
NOUNS = (
    *("{size}{colour} {shape}",) * 6,
    "{size}{shape} in {colour}",
    "{size}{shape} that is {colour}",
)

# The first word of each phrase is inflected by VERBS.
MOTION_PHRASES = {
    "still": ("stay still", "stand still", "rest in place", "remain motionless"),
    "right": (
        "move right",
        "move to the right",
        "slide right",
        "glide to the right",
        "travel from left to right",
    ),
    "left": (
        "move left",
        "move to the left",
        "slide left",
        "glide to the left",
        "travel from right to left",
    ),
    "up": ("move up", "rise", "go upward", "float up", "climb straight up"),
    "down": ("move down", "sink", "go downward", "float down", "come straight down"),
    "bounce": ("bounce", "bounce", "bounce up and down", "bounce again and again"),
    "grow": ("grow", "get bigger", "grow larger", "expand"),
    "shrink": ("shrink", "get smaller", "grow smaller", "dwindle"),
    "spin": ("spin", "rotate", "turn in place", "spin clockwise"),
    "circle": (
        "circle around",
        "move in a circle",
        "go round in circles",
        "circle clockwise",
    ),
    "up right": ("move up and to the right", "climb diagonally to the right"),
    "up left": ("move up and to the left", "climb diagonally to the left"),
    "down right": ("move down and to the right", "sink diagonally to the right"),
    "down left": ("move down and to the left", "sink diagonally to the left"),
}
VERBS = {
    "bounce": ("bounces", "bouncing"),
    "circle": ("circles", "circling"),
    "climb": ("climbs", "climbing"),
    "come": ("comes", "coming"),
    "dwindle": ("dwindles", "dwindling"),
    "expand": ("expands", "expanding"),
    "float": ("floats", "floating"),
    "get": ("gets", "getting"),
    "glide": ("glides", "gliding"),
    "go": ("goes", "going"),
    "grow": ("grows", "growing"),
    "move": ("moves", "moving"),
    "remain": ("remains", "remaining"),
    "rest": ("rests", "resting"),
    "rise": ("rises", "rising"),
    "rotate": ("rotates", "rotating"),
    "shrink": ("shrinks", "shrinking"),
    "sink": ("sinks", "sinking"),
    "slide": ("slides", "sliding"),
    "spin": ("spins", "spinning"),
    "stand": ("stands", "standing"),
    "stay": ("stays", "staying"),
    "travel": ("travels", "travelling"),
    "turn": ("turns", "turning"),
}

# By relation, and by whether the motions are stated too.
SUBJECTS = {
    ("", False): ("{a}", "there is {a}", "we see {a}"),
    ("", True): (
        "{a} {a_does}",
        "{a} {a_does}",
        "{a} {a_doing}",
        "{a} is {a_doing}",
        "there is {a} {a_doing}",
        "we see {a} {a_doing}",
        "{a} can be seen {a_doing}",
    ),
    ("left of", False): (
        "{a} to the left of {b}",
        "{a} left of {b}",
        "{b} to the right of {a}",
        "{b} right of {a}",
        "{a} on the left and {b} on the right",
        "there is {a} on the left and {b} on the right",
    ),
    ("left of", True): (
        "{a} {a_does} to the left of {b} that {b_does}",
        "{b} {b_does} to the right of {a} that {a_does}",
        "{a} {a_does} on the left, {b} {b_does} on the right",
        "{a} on the left is {a_doing} and {b} on the right is {b_doing}",
        "on the left {a} {a_does} and on the right {b} {b_does}",
    ),
    ("above", False): (
        "{a} above {b}",
        "{a} over {b}",
        "{b} below {a}",
        "{b} underneath {a}",
        "{a} at the top and {b} at the bottom",
        "there is {a} above {b}",
    ),
    ("above", True): (
        "{a} {a_does} above {b} that {b_does}",
        "{b} {b_does} below {a} that {a_does}",
        "{a} {a_does} at the top, {b} {b_does} at the bottom",
        "{a} at the top is {a_doing} and {b} at the bottom is {b_doing}",
        "{b} {b_does} underneath {a} that {a_does}",
    ),
    ("collide", False): (
        "{a} and {b} collide",
        "{a} collides with {b}",
        "{b} and {a} bump into each other",
        "{a} and {b} crash into each other and part",
        "a collision between {a} and {b}",
    ),
    ("behind", False): (
        "{a} passes behind a grey wall",
        "{a} disappears behind a grey wall and comes out again",
        "{a} goes behind a grey wall",
        "{a} is hidden by a grey wall for a moment",
    ),
    ("behind", True): (
        "{a} {a_does} behind a grey wall",
        "{a} {a_does} and passes behind a grey wall",
        "{a} {a_does}, hidden by a grey wall for a moment",
        "{a_doing}, {a} disappears behind a grey wall and comes out again",
    ),
}
# Two bodies where the relation is not stated.
LOOSE_PAIR = ("{a} and {b}", "{b} and {a}", "{a} with {b}")
LOOSE_PAIR_MOVING = ("{a} {a_does} and {b} {b_does}", "{b} {b_does}, {a} {a_does}")

BACKGROUND_WORDS = {
    "green floor": ("a green floor",),
    "blue floor": ("a blue floor",),
    "brown floor": ("a brown floor",),
    "grey stripes": ("grey stripes", "a grey striped wall", "a striped wall"),
    "checkered wall": ("a checkered wall", "a checkered background"),
    "dotted wall": ("a dotted wall", "a dotted background"),
    "hills": ("green hills", "rolling hills", "hills under a pale sky"),
}
PLACES = {
    "standing": ("on {}",),  # on a floor
    "floating": ("above {}", "over {}"),  # a floor
    "mixed": ("with {} below",),  # a floor that only one stands on
    "wall": ("in front of {}", "in front of {}", "against {}"),
}
CAMERA_CLAUSES = {
    "still": ("the camera is still", "the camera does not move"),
    "pan left": ("the camera pans left", "the view pans to the left"),
    "pan right": ("the camera pans right", "the view pans to the right"),
    "zoom in": ("the camera zooms in", "the view zooms in"),
    "zoom out": ("the camera zooms out", "the view zooms out"),
}
LIGHT_CLAUSES = {
    "steady": ("the light is steady", "the light stays the same"),
    "dusk": ("dusk falls", "it gets dark", "the light fades", "the scene darkens"),
    "dawn": ("day breaks", "it gets light", "dawn comes", "the scene brightens"),
}
FIRST_CONNECTORS = (", ", " while ", " and ")
LAST_CONNECTORS = (", ", " and ")
IMAGE_OPENINGS = ("", "a picture of ", "an image of ")
VIDEO_OPENINGS = ("", "", "in this clip ", "in a short video ")
CUTS = ("{0}, then {1}", "{0}; cut to {1}", "first {0}, then {1}", "{0}. next, {1}")
TURNS = ("{0}, and in the same shot {1}", "{0}; without a cut, {1}")
