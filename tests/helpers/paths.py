"""Where the files are that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
FAULTS = ROOT / "tests" / "faults"
# Real clips, where a folder of them stands beside the project: more of the same.
MEDIA = ROOT.parent / "shared" / "media"
