"""Tables from everyday phrases to phrases of the playground's captions.

Each row is a pattern and its replacement, tried in this order. The numbers beside rows
count successes among 16 videos of the default model, with the original phrase and with
the rewritten one.
"""

from __future__ import annotations

from sora_jax.worlds.playground import words, world

SPOKEN = r"(?:moves|goes|slides|glides|travels|rolls|flies|drifts)"
ASPECT = r"(?:moving|going|sliding|gliding|travelling|traveling|rolling|flying)"
NOT_THE_CAMERA = r"(?<!\bcamera )(?<!\bview )"
_INTO = r"(?:crash|bump|smash|slam|run|bang|ram|knock)"
# The end of a clause.
END = (
    r"(?=\s*(?:$|[^\w\s'’-]|"
    r"(?:and(?! (?:forth|closer|nearer))|but|as|while|until|then|when)\b))"
)
# After a motion: an end, a way, a place; no object, and no word that changes the verb
# ("falls apart", "jumps over a box", "drops a ball").
_FLOOR = r"(?:an?|the) (?:\w+ )?floor"
_HILLS = r"(?:(?:the|some) )?(?:\w+ )?hills"
_PLACE = (
    r"(?= (?:in front of|on|over|above|against) (?:an?|the|some|grey|green|hills)\b)"
)
ON = (
    rf"(?:{END}|(?=\s*(?:\w+ly|fast|again|up|down|left|right|upward|downward|away|"
    r"forward|straight|diagonally|around|across|along|from|at|above|below|under|beneath|"
    r"underneath|behind|against|towards?|that|which|between|beside|next to|alongside|"
    r"with|for|near|past|on|in(?! (?:love|half|two|pieces)\b)|to(?! (?:pieces|bits)\b)|"
    rf"over (?:{_FLOOR}|{_HILLS}))\b))"
)
SHAPES = "|".join(
    sorted({word for forms in words.SHAPE_WORDS.values() for word in forms}, key=len)
)
# A second body follows; what goes into a ring may go through it.
_ARTICLE = (
    rf" (?:(?:an?|the|another) (?:[\w-]+ ){{0,3}}?|(?:{'|'.join(world.COLOURS)}) )"
)
_BODY = rf"(?={_ARTICLE}(?:{SHAPES})\b)"
_SOLID = rf"(?={_ARTICLE}(?!ring|hoop)(?:{SHAPES})\b)"
_RUNS = r"(?:moves|slides|glides|rolls|flies|drives|drifts|races|travels|bounces)"
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
    (r"(?:twirls|whirls|revolves(?! (?:around|about)))", "spins"),
    (r"(?:twirling|whirling|revolving(?! (?:around|about)))", "spinning"),
    (r"upwards", "upward"),
    (r"downwards", "downward"),
    (r"(?:towards|toward) the (left|right)", r"to the \1"),
    (r"(left|right)wards?", r"to the \1"),
)
_US = r"(?:the camera|the viewer|us)"
MOTIONS = (
    # Of jumps, 1 and 15.
    (r"(?:jumps|hops|leaps)(?: up and down)?", "bounces"),
    (r"(?:jumping|hopping|leaping)(?: up and down)?", "bouncing"),
    # 2 and 16.
    (
        rf"(?:doesn['’]t|does not|isn['’]t|is not) mov(?:e|ing)(?={END}|"
        r" (?:on|at all|above|in front|against)\b)(?: at all)?|sits still|stays put",
        "stays still",
    ),
    (r"is (?:motionless|stationary|immobile)", "stays still"),
    # 0 and 16.
    (
        rf"(?:approaches|(?:comes|gets|moves) (?:closer|nearer)(?: to)?|comes towards?)"
        rf" {_US}|(?:(?:comes|gets) closer(?: and closer)?|approaches)"
        rf"(?:{END}|(?= \w+ly\b)|{_PLACE})|gets larger|swells(?: up)?",
        "gets bigger",
    ),
    (
        rf"(?:approaching|coming closer to) {_US}|"
        rf"(?:coming closer|approaching)(?:{END}|{_PLACE})|"
        r"getting larger|swelling",
        "getting bigger",
    ),
    # 0 (falls), 4 (drops), 14 (falls down) and 15.
    (r"(?:falls|drops|descends)(?: down| downward)?", "moves down"),
    (r"(?:falling|dropping|descending)(?: down| downward)?", "moving down"),
    # 1 and 16.
    (r"ascends|lifts off", "moves up"),
    (r"ascending", "moving up"),
    # 15 either way; but the original words are not in the vocabulary.
    (r"(?:rolls|runs|walks|drives|drifts|flies|races|swims|shoots)", "moves"),
    (r"(?:rolling(?! hills)|running|walking|driving|drifting|flying|racing)", "moving"),
    (r"(moves|moving) from left to right", r"\1 to the right"),
    (r"(moves|moving) from right to left", r"\1 to the left"),
)
RELATIONS = (
    # Colours and relation: 0 and 15 (left of); 0 and 14 (above).
    (rf"(?:right )?(?:next to|beside|alongside){_BODY}", "to the left of"),
    (rf"on top of(?= {_FLOOR})", "on"),
    (rf"on top of{_BODY}", "above"),
    (rf"(?:under|beneath){_BODY}", "below"),
    # 0 and 10.
    (rf"(?:{_INTO}(?:s|es)|{_RUNS}) into{_SOLID}", "collides with"),
    (rf"(?:hits|strikes|smashes){_BODY}", "collides with"),
    (
        rf"(?!bump into){MEET} (?:with )?(?:each other|one another)(?! and part)",
        "collide",
    ),
    # 6 and 10.
    (
        rf"(?:{_RUNS}|goes|falls)(?: to the| up| down| left| right)* and collides with",
        "collides with",
    ),
)
LIGHT = (
    (
        rf"(?:(?:night|darkness) falls|the sun (?:sets|goes down)|it gets darker){END}",
        "dusk falls",
    ),
    (
        rf"(?:the sun (?:rises|comes up)|it gets (?:lighter|brighter)){END}",
        "day breaks",
    ),
)
_TURN = r"(?:moves|turns|goes|sweeps|panning|moving|pan|turning)"
CAMERA = (
    (
        r"(?:the )?camera (?:(?:is|stays|remains) (?:static|stationary|fixed)|"
        r"(?:is|stays|remains) motionless|(?:stays|remains) still|"
        r"(?:doesn['’]t move|is not moving)(?! (?:to|left|right)\b))",
        "the camera is still",
    ),
    (
        rf"(?:the )?camera {_TURN} (?:to the |from (?:left|right) to )?(left|right)"
        r"(?! (?:behind|around|at|away|into|onto|up|next|beside|side|of|and)\b)",
        r"the camera pans \1",
    ),
    (r"(?:the )?camera (?:zoom|zooming) (in|out)", r"the camera zooms \1"),
    (r"(?:the )?camera moves (?:closer|in|forward)" + END, "the camera zooms in"),
    (r"(?:the )?camera moves (?:away|out|back|backward)" + END, "the camera zooms out"),
)
