"""What people say and what captions of the playground say instead, as tables.

Each row is a pattern of what is said and what is read, tried in this order. The numbers
are of 16 videos of the default model each: how many showed it as it is said, and how
many as it is read.
"""

from __future__ import annotations

from sora_jax.data import world

SPOKEN = r"(?:moves|goes|slides|glides|travels|rolls|flies|drifts)"
ASPECT = r"(?:moving|going|sliding|gliding|travelling|traveling|rolling|flying)"
NOT_THE_CAMERA = r"(?<!\bcamera )(?<!\bview )"
_INTO = r"(?:crash|bump|smash|slam|run|bang|ram|knock)"
# A second body follows.
_BODY = rf"(?= (?:an?|the|{'|'.join(world.COLOURS)}) )"
MEET = rf"(?:collide|meet|touch|hit|{_INTO} into)"

SPELLINGS = (
    (r"gr[ae]y(?:ish)?", "grey"),
    (r"(?:sphere|orb)", "ball"),
    (r"cube", "box"),
    (r"(?:donut|doughnut)", "ring"),
    (r"(?:gigantic|enormous|giant)", "huge"),
    (r"(?:mini|miniature)", "tiny"),
    (r"(?:violet)", "purple"),
    (r"(?:aqua|turquoise)", "cyan"),
    (r"(?:scarlet|crimson)", "red"),
    (r"chequered|checkerboard", "checkered"),
    (r"polka[- ]dot(?:ted)?", "dotted"),
    (r"(?:twirls|whirls|revolves)", "spins"),
    (r"(?:twirling|whirling|revolving)", "spinning"),
    (r"upwards", "upward"),
    (r"downwards", "downward"),
    (r"(?:towards|toward) the (left|right)", r"to the \1"),
    (r"(left|right)wards?", r"to the \1"),
)
MOTIONS = (
    # Of jumps, 1 and 15.
    (r"(?:jumps|hops|leaps)(?: up and down)?", "bounces"),
    (r"(?:jumping|hopping|leaping)(?: up and down)?", "bouncing"),
    # 2 and 16.
    (
        r"(?:doesn't|does not|isn't|is not) mov(?:e|ing)|sits still|stays put",
        "stays still",
    ),
    (r"is (?:motionless|stationary|immobile)", "stays still"),
    # 0 and 16.
    (r"(?:comes|gets) closer|approaches|gets larger|swells", "gets bigger"),
    (r"coming closer|approaching|getting larger|swelling", "getting bigger"),
    # 0 (falls), 4 (drops), 14 (falls down) and 15.
    (r"(?:falls|drops|descends)(?: down| downward)?", "moves down"),
    (r"(?:falling|dropping|descending)(?: down| downward)?", "moving down"),
    # 1 and 16.
    (r"ascends|lifts off", "moves up"),
    (r"ascending", "moving up"),
    # 15 either way; but what was never read is not left to chance.
    (r"(?:rolls|runs|walks|drives|drifts|flies|races|swims|shoots)", "moves"),
    (r"(?:rolling(?! hills)|running|walking|driving|drifting|flying|racing)", "moving"),
    (r"(moves|moving) from left to right", r"\1 to the right"),
    (r"(moves|moving) from right to left", r"\1 to the left"),
)
RELATIONS = (
    # Colours and relation: 0 and 15 (left of); 0 and 14 (above).
    (r"(?:right )?(?:next to|beside|alongside)", "to the left of"),
    (r"on top of", "above"),
    (r"(?:under|beneath)(?= (?:an?|the) (?!pale sky))", "below"),
    # 0 and 10.
    (rf"(?:{_INTO}(?:s|es)) into{_BODY}", "collides with"),
    (rf"(?:hits|strikes|smashes){_BODY}", "collides with"),
    (
        rf"(?!bump into|.*and part){MEET} (?:with )?(?:each other|one another)",
        "collide",
    ),
    # 6 and 10.
    (
        r"(?:moves|slides|glides|goes)(?: to the| up| down| left| right)* and "
        "collides with",
        "collides with",
    ),
)
LIGHT = (
    (
        r"(?:night|darkness) falls|the sun (?:sets|goes down)|it gets darker",
        "dusk falls",
    ),
    (r"the sun (?:rises|comes up)|it gets (?:lighter|brighter)", "day breaks"),
)
_TURN = r"(?:moves|turns|goes|sweeps|panning|moving|pan|turning)"
CAMERA = (
    (
        rf"(?:the )?camera {_TURN} (?:to the |from (?:left|right) to )?(left|right)",
        r"the camera pans \1",
    ),
    (r"(?:the )?camera (?:zoom|zooming) (in|out)", r"the camera zooms \1"),
    (r"(?:the )?camera moves (?:closer|in|forward)", "the camera zooms in"),
    (r"(?:the )?camera moves (?:away|out|back|backward)", "the camera zooms out"),
)
