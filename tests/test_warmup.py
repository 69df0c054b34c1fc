"""Compiling ahead, and saying what a slow first fit does."""

import runpy
import sys

import numpy as np
import pytest
from numba import config, njit

import sksparse_mlp
from sksparse_mlp.core import compiling, simd
from sksparse_mlp.core.compiling import CompileTimer
from sksparse_mlp.warmup import warm_up


@pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")
def test_time_is_that_of_compilation_only():
    with CompileTimer() as timer:
        assert timer.seconds == 0
        double = njit(lambda x: 2 * x)
        assert double(3) == 6
        after = timer.seconds
        assert after > 0
        assert double(4) == 8
        assert timer.seconds == after
    njit(lambda x: x)(1)
    assert timer.seconds == after


def test_what_was_compiled_takes_no_time():
    warm_up()
    assert warm_up() == 0


def test_module_says_what_it_did(monkeypatch, capsys):
    warm_up()
    monkeypatch.delitem(sys.modules, "sksparse_mlp.warmup")
    runpy.run_module("sksparse_mlp.warmup", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "everything was compiled before"


def test_versions_have_a_line_on_vectors(capsys):
    sksparse_mlp.show_versions()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["sksparse-mlp"] == sksparse_mlp.__version__
    assert lines["numpy"] == np.__version__
    assert lines["vectors"] == simd.description()


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512f", "avx2"}, "512 bits (avx512f)"),
        ({"avx2", "avx"}, "256 bits (avx)"),
        ({"neon"}, "128 bits (neon)"),
        (set(), "none: the portable code"),
    ],
)
def test_vectors_are_named(features, expected, monkeypatch):
    monkeypatch.setattr(simd, "features", lambda: features)
    assert simd.description() == expected


@pytest.mark.parametrize(("seconds", "says"), [(3.2, True), (0.5, False), (0.0, False)])
def test_a_fit_that_compiles_says_so_once(seconds, says, mlp, binary, capsys, monkeypatch):
    monkeypatch.setattr(compiling.CompileTimer, "seconds", seconds)
    mlp(verbose=True, max_iter=3).fit(*binary)
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("Compiled") for line in lines].count(True) == says
    assert lines[1].startswith("Compiled for 3.2 s") == says
    mlp(max_iter=3).fit(*binary)
    assert not capsys.readouterr().out
