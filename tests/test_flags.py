"""How `sample.py` is told what to do, in words of other programs too."""

import dataclasses
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sora_jax import cli, cluster, runtime
from sora_jax.commands import train
from sora_jax.limits import LIMITS, UNLIMITED, Limits
from sora_jax.plan import command as planning
from sora_jax.sampling import checks, command, flags, job, spellings, tasks
from sora_jax.weights import export, publish
from sora_jax.worlds.playground.judge import command as evaluation
from tests.helpers.paths import ROOT


def parse(line: str) -> flags.SampleOptions:
    return spellings.parse(line.split())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "--prompt p --num-frames 9 --num_inference_steps=3 --guidance-scale 2 "
            "--guidance_scale_2=1.5 --height 32 --width 48 --flow_shift 3 "
            "--num-videos-per-prompt 2 --output o.mp4",
            "--prompt p --frames 9 --steps 3 --guidance 2 --guidance-low 1.5 "
            "--size 48x32 --shift 3 --variations 2 --out o.mp4",
        ),
        (
            "--ckpt_dir w --size 832*480 --frame_num 81 --base_seed 4 --sample_steps 5 "
            "--sample_guide_scale 6 --sample_shift 8 --sample_solver unipc "
            "--save_file a.mp4 --prompt p",
            "--weights w --size 832x480 --frames 81 --seed 4 --steps 5 --guidance 6 "
            "--shift 8 --solver unipc --out a.mp4 --prompt p",
        ),
    ],
)
def test_flags_of_others_mean_the_same(theirs, ours):
    found, wanted = parse(theirs), parse(ours)
    sizes = [cli.parse_size(each.size or "") for each in (found, wanted)]
    assert sizes[0] == sizes[1]
    assert dataclasses.replace(found, size=None) == dataclasses.replace(
        wanted, size=None
    )


def test_every_spelling_leads_to_a_flag():
    fields = {field.name.replace("_", "-") for field in dataclasses.fields(parse(""))}
    assert set(spellings.FLAGS.values()) <= fields
    assert not fields & set(spellings.FLAGS)
    for task, hint in spellings.TASKS.items():
        with pytest.raises(ValueError, match=f"--task '{task}' is not known: give"):
            parse(f"--task {task}")
        assert hint.split()[1].rstrip(",") in tasks.TASKS


@pytest.mark.parametrize("size", ["64x48", "64X48", "64*48", "64×48", " 64 x 48 "])
def test_sizes_are_written_in_many_ways(size):
    assert cli.parse_size(size) == (48, 64)


BAD = {
    "--task 'extnd' is not known: give --task extend": "--task extnd",
    "--task 't2v-14B' is not known: give --task generate": "--task t2v-14B",
    "--height '9' comes without --width": "--prompt a --height 9",
    "--frames must be at most 100,001, got 1,000,001": "--prompt a --frames 1000001",
    "--steps must be at most 1,000": "--prompt a --steps 2000",
    "--size must be at most 8,192 pixels along a side": "--prompt a --size 99999x16",
    "--window must be at most": "--prompt a --window 100001",
    "--variations must be at most 10,000 videos": "--prompt a --variations 10001",
    "--seconds must be at most": "--prompt a --seconds 1e9",
    "--tile must be at most": "--prompt a --tile 99999",
    "--outpaint must be at most": "--task inpaint --video v.mp4 --outpaint 99999x16",
    "hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers --local-dir": "--prompt a "
    "--weights Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "--weights '/none' does not exist": "--prompt a --weights /none",
    "--video 'none.mp4' does not exist": "--task extend --video none.mp4",
    "--mask '/dev/zero' is a device": "--task inpaint --video a.mp4 --mask /dev/zero",
    "--init-noise '/dev/zero' is a device": "--prompt a --init-noise /dev/zero",
    "--prompts '/dev/zero' is a device": "--prompts /dev/zero",
    "--storyboard '/dev/zero' is a device": "--storyboard /dev/zero",
    "--out 'a.avi' must end in one of": "--prompt a --out a.avi",
    "--span must be FROM:TO": "--task remove --video a.mp4 --span 1",
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_wrong_by_itself(message):
    with pytest.raises(ValueError, match=message):
        checks.check_flags(parse(BAD[message])).checked()


def test_long_and_broken_prompts_are_not_echoed():
    for prompt in ("a" * 20_000, "a \udcff"):
        with pytest.raises(ValueError, match="^--prompt ") as caught:
            checks.check_flags(flags.SampleFlags(prompt=prompt)).checked()
        assert len(str(caught.value)) < 300
        str(caught.value).encode()
    with pytest.raises(ValueError, match="--negative-prompt must be UTF-8"):
        checks.check_flags(
            flags.SampleFlags(prompt="a", negative_prompt="\udcff")
        ).checked()


def test_control_characters_do_not_reach_the_terminal():
    for argument in ("--\x1b[2Jx", "--steps=\x1b[2J", "\x9b2J"):
        with pytest.raises(ValueError, match=r"\\x.* contains control characters"):
            spellings.parse(["--prompt", "a", argument])
    arguments = spellings.parse(["--prompt=a\tb", "--video", "a\x1b.mp4"])
    assert arguments.video == ("a\x1b.mp4",) and arguments.prompt == "a\tb"
    logger = logging.getLogger("sora_jax.test")
    record = logger.makeRecord("a", 30, "f", 1, "%s is cut", ("a\x1b.mp4",), None)
    assert runtime.Printable("%(message)s").format(record) == r"a\x1b.mp4 is cut"


def test_no_program_repeats_a_long_argument_or_a_raw_one():
    programs = (spellings.parse, train.main, planning.main, export.main, publish.main)
    for main in (*programs, evaluation.main):
        for name in ("--frames", "--model", "--solver=", "--config.x="):
            value = "9" * 4000
            argv = [name + value] if name.endswith("=") else [name, value]
            with pytest.raises(ValueError, match=f"{name}.* longer than 1000") as told:
                main(argv)
            assert len(str(told.value)) < 300
        with pytest.raises(ValueError, match=r"contains control characters"):
            main(["--cases", "\x1b[2J"])
    long = "a" * 9000
    for flag in ("--n-prompt", "--n_prompt", "--negative-prompt"):
        assert parse(f"--prompt a {flag} {long}").negative_prompt == long


@pytest.mark.parametrize(
    "argv",
    [
        "--size 64x64 --height 32 --width 32",
        "--height=32 --width=32 --size=64x64",
        "--steps 4 --num_inference_steps 9",
        "--num-frames 5 --frame_num 9",
    ],
)
def test_two_names_of_one_flag_are_refused(argv):
    with pytest.raises(ValueError, match="is given twice, as --.* and as --"):
        parse(f"--prompt a {argv}")


def test_every_limit_is_lifted_by_one_flag(folder):
    assert parse("--prompt a --unlimited").limits == UNLIMITED
    assert all(
        getattr(LIMITS, field.name) < getattr(UNLIMITED, field.name)
        for field in dataclasses.fields(Limits)
    )
    asked = flags.SampleFlags(prompt="a", weights=str(folder), steps=1001)
    with pytest.raises(ValueError, match="--steps must be at most 1,000"):
        job.prepare(asked)
    lifted = dataclasses.replace(asked, unlimited=True)
    assert job.prepare(lifted).settings.steps == 1001


def test_what_memory_cannot_hold_is_refused_before_it_is_held(folder, tmp_path):
    def refused(**fields):
        with pytest.raises(ValueError, match="frames: .* need .* limits") as caught:
            job.prepare(flags.SampleFlags(weights=str(folder), **fields))
        return str(caught.value)

    large = {"size": "8192x8192", "frames": 2001 - 2000 % 4, "window": 1997}
    assert "of 8192x8192" in refused(prompt="a", **large)
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    image.save(tmp_path / "a.png")
    picture = (str(tmp_path / "a.png"),)
    assert "make fewer" in refused(image=picture, size="1024x1024", frames=99_997)


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbfa red ball\r\na star\r\n")
    arguments = flags.SampleFlags(prompts=str(tmp_path / "prompts.txt"))
    assert checks.check_flags(arguments).prompts == ("a red ball", "a star")


def test_all_seeds_of_variations_are_told(folder, tmp_path, capsys, monkeypatch):
    for name in ("join_hosts", "show_log", "enable_compilation_cache"):
        monkeypatch.setattr(runtime, name, lambda: True)
    arguments = flags.SampleFlags(
        prompt="a",
        variations=3,
        seed=7,
        weights=str(folder),
        out=f"{tmp_path}/",
        frames=1,
        steps=1,
    )
    command.main(checks.check_flags(arguments), 0.0)
    assert "seeds 7 to 9, " in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.png"))) == 3


def run(code: str, *arguments: str, **environment: str):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
    )


def test_flags_are_checked_before_jax_is_imported():
    code = "import sys, sample\ntry: sample.main(sys.argv[1:])\n"
    code += "finally: print('jax' in sys.modules)"
    ran = run(code, "--size=bogus", "--prompt=a", "--image=none.png")
    assert ran.stdout == b"False\n" and b"--size must be WIDTHxHEIGHT" in ran.stderr


def test_hosts_that_may_have_others_end_together(monkeypatch):
    for name in (*cluster.BY_HAND, *cluster.STARTED, *cluster.TPU_HOSTS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cluster, "TPU_DEVICES", ())
    assert not cluster.may_be_several()
    for name, value in (
        ("JAX_PROCESS_ID", "0"),
        ("SLURM_STEP_NUM_TASKS", "4"),
        ("TPU_WORKER_HOSTNAMES", "a,b"),
    ):
        with monkeypatch.context() as told:
            told.setenv(name, value)
            assert cluster.may_be_several()


def test_a_console_of_few_letters_stops_nothing():
    code = "from sora_jax import cli\nwith cli.exit_with_message(''):\n"
    code += " cli.say('a 红 \\x1b[2J ball \\udcff')\n raise OSError('红')"
    ran = run(code, PYTHONIOENCODING="ascii")
    assert ran.stdout.split() == [b"a", rb"\u7ea2", rb"\x1b[2J", b"ball", rb"\udcff"]
    assert ran.stderr.strip() == rb"error: \u7ea2"


def test_nobody_who_listens_stops_nothing():
    code = "import os, sys\nfrom sora_jax import cli\n"
    code += "r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
    code += "with cli.exit_with_message(''):\n for _ in range(3): cli.say('a' * 9)\n"
    code += " print('done', file=sys.stderr)"
    ran = run(code)
    assert ran.returncode == 0 and ran.stderr.strip() == b"done"
