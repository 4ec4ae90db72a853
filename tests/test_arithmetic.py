"""Which arithmetic "auto" means: forced, by processor and by measurement; the cache of the measurement; the warning."""

import json
import logging
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from occlureid import arithmetic
from occlureid.errors import SettingsError

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


class Clock:
    """Stands for the measurement: says a ratio, and counts how often it is asked."""

    def __init__(self, ratio: float) -> None:
        self.ratio, self.asked = ratio, 0

    def __call__(self, device: torch.device) -> float:
        self.asked += 1
        return self.ratio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    """A process that has measured nothing yet, on a processor with bfloat16 products, and an empty cache folder."""
    made = Clock(2.5)
    monkeypatch.delenv(arithmetic.FORCE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(arithmetic, "_known", {})
    monkeypatch.setattr(arithmetic, "_warned", set())
    monkeypatch.setattr(arithmetic, "_measure", made)
    monkeypatch.setattr(arithmetic, "native", lambda device: True)
    return made


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_known", {})


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "occlureid").iterdir())


@pytest.mark.parametrize(
    ("native", "ratio", "expected"),
    [
        (True, 2.5, "bfloat16"),
        (True, 1.05, "float32"),  # not worth its rounding
        (True, 0.5, "float32"),
        (False, 2.5, "float32"),  # whatever was measured: not native
    ],
)
def test_bfloat16_is_chosen_only_where_native_and_faster(monkeypatch, clock, native, ratio, expected):
    monkeypatch.setattr(arithmetic, "native", lambda device: native)
    clock.ratio = ratio
    assert arithmetic.chosen("cpu") == arithmetic.resolve("auto", "cpu") == expected
    assert arithmetic.train_precision("auto", "cpu") == {"float32": "32-true", "bfloat16": "bf16-mixed"}[expected]


@pytest.mark.parametrize("answer", ["float32", "bfloat16"])
@pytest.mark.parametrize("ratio", [0.1, 10.0])
def test_both_answers_can_be_forced(monkeypatch, clock, answer, ratio):
    clock.ratio = ratio
    monkeypatch.setenv(arithmetic.FORCE, answer)
    assert arithmetic.chosen("cpu") == arithmetic.resolve("auto", "cpu") == answer
    for name, training in (("float32", "32-true"), ("bfloat16", "bf16-mixed")):
        assert arithmetic.resolve(name, "cpu") == name  # what is asked for by name is not changed
        assert arithmetic.train_precision(training, "cpu") == training
    assert arithmetic.train_precision("16-mixed", "cuda") == "16-mixed"
    assert clock.asked == 0


def test_what_is_forced_must_be_an_arithmetic(monkeypatch, clock):
    monkeypatch.setenv(arithmetic.FORCE, "float16")
    with pytest.raises(SettingsError, match=r"OCCLUREID_ARITHMETIC must be float32 or bfloat16.* got 'float16'"):
        arithmetic.chosen("cpu")
    with pytest.raises(SettingsError, match=r'precision must be "auto", "float32" or "bfloat16", got \'float8\''):
        arithmetic.resolve("float8", "cpu")


def test_other_devices_compute_in_float32():
    assert not arithmetic.native("meta")
    assert arithmetic.processor("meta") == "meta"


def test_measured_once_and_kept_for_the_next_process(monkeypatch, clock, tmp_path):
    assert [arithmetic.speed("cpu") for _ in range(3)] == [2.5] * 3
    new_process(monkeypatch)
    clock.ratio = 0.1
    assert arithmetic.speed("cpu") == 2.5
    assert clock.asked == 1
    [path] = kept(tmp_path)
    assert json.loads(path.read_text())["ratio"] == 2.5
    with monkeypatch.context() as limited:
        limited.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
        assert arithmetic.speed("cpu") == 0.1  # other instructions, another measurement
    assert arithmetic.speed("cpu") == 2.5
    assert len(kept(tmp_path)) == 2


def damages(key: str) -> dict[str, bytes]:
    def said(ratio: object, of: object = key) -> bytes:
        return json.dumps({"key": of, "ratio": ratio}).encode()

    return {
        "empty": b"", "half": said(3.0)[:-4], "binary": bytes(range(256)), "a list": b"[3.0]", "a number": b"3.0",
        "deep": b"[" * 4000, "text": said("3.0"), "true": said(True), "none": said(None), "whole": said(3),
        "nan": said(math.nan), "infinite": said(math.inf), "overflow": said(3.0).replace(b"3.0", b"1e999"),
        "zero": said(0.0), "negative": said(-3.0), "another key": said(3.0, key + " "), "no key": b'{"ratio": 3.0}',
        "large": said(3.0) + b" " * 5000,
    }  # fmt: skip


@pytest.mark.parametrize("damage", sorted(damages("")))
def test_a_damaged_or_hostile_file_is_ignored_and_replaced(monkeypatch, clock, tmp_path, damage):
    arithmetic.speed("cpu")
    [path] = kept(tmp_path)
    whole = path.read_text()
    path.write_bytes(damages(json.loads(whole)["key"])[damage])
    new_process(monkeypatch)
    assert (arithmetic.speed("cpu"), clock.asked) == (2.5, 2)
    assert path.read_text() == whole


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_not_opened(monkeypatch, clock, tmp_path, kind):
    arithmetic.speed("cpu")
    [path] = kept(tmp_path)
    path.unlink()
    if kind == "folder":
        (path / "inside").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    new_process(monkeypatch)
    assert (arithmetic.speed("cpu"), clock.asked) == (2.5, 2)
    assert path.is_dir() == (kind == "folder")
    assert kept(tmp_path) == [path]  # nothing half-written is left
    assert not (tmp_path / "nowhere").exists()


def test_without_a_cache_folder_the_next_process_measures_again(monkeypatch, clock, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert arithmetic.speed("cpu") == 2.5
    new_process(monkeypatch)
    assert (arithmetic.speed("cpu"), clock.asked) == (2.5, 2)


@pytest.mark.parametrize("named", ["", "caches"])
def test_without_a_home_nothing_is_kept(monkeypatch, clock, tmp_path, named):
    """A container may run as a user number that no list of users has; a relative cache folder counts as none."""

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setattr(arithmetic.Path, "home", nobody)
    assert [arithmetic.speed("cpu"), arithmetic.speed("cpu")] == [2.5, 2.5]
    assert clock.asked == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("native", "says"), [(True, "AVX"), (False, "emulates")])
def test_slower_bfloat16_by_name_warns_once_with_the_ratio(monkeypatch, clock, caplog, native, says):
    monkeypatch.setattr(arithmetic, "native", lambda device: native)
    monkeypatch.setattr(arithmetic, "processor", lambda device: "Some AVX")
    clock.ratio = 1 / 36
    with caplog.at_level(logging.WARNING):
        assert arithmetic.resolve("bfloat16", "cpu") == "bfloat16"
        assert arithmetic.train_precision("bf16-mixed", "cpu") == "bf16-mixed"
        assert arithmetic.resolve("auto", "cpu") == arithmetic.resolve("float32", "cpu") == "float32"
    [said] = caplog.messages
    assert "36 times as long as float32" in said
    assert says in said


def test_faster_bfloat16_by_name_says_nothing(clock, caplog):
    assert arithmetic.resolve("bfloat16", "cpu") == "bfloat16"
    assert clock.asked == 1
    assert not caplog.messages


def test_the_measurement_leaves_the_random_state_and_gives_a_ratio():
    before = torch.get_rng_state()
    assert 0 < arithmetic._measure(torch.device("cpu")) < math.inf
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX2 is an instruction set of x86")
def test_avx2_alone_chooses_float32_whatever_the_processor_says_of_itself(tmp_path):
    program = "from occlureid import arithmetic as a; print(a.native('cpu'), a.chosen('cpu'), a.processor())"
    environment = {k: v for k, v in os.environ.items() if k != arithmetic.FORCE}
    environment |= {**AVX2, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert done[:2] == ["False", "float32"]
    assert done[-1] == "AVX2"
