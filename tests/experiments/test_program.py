"""The kernel and traffic counts on small hand-written programs, and the lower bound of traffic."""

import pytest
from tiny import TINY

from experiments.benchmarks import program, program_target
from experiments.benchmarks.program_count import num_bytes, read_kernels
from experiments.benchmarks.program_floor import least_bytes
from ppocr_jax.models import DTYPES
from ppocr_jax.models.detector import build_detector

LOOP = """
HloModule loop

%body (p.1: (s32[], f32[100])) -> (s32[], f32[100]) {
  %p.1 = (s32[], f32[100]{0}) parameter(0)
  %n.1 = s32[] get-tuple-element(%p.1), index=0
  %x.1 = f32[100]{0} get-tuple-element(%p.1), index=1
  %wrapped_negate.1 = f32[100]{0} negate(%x.1), metadata={op_name="jit(f)/while/neg"}
  ROOT %t.1 = (s32[], f32[100]{0}) tuple(%n.1, %wrapped_negate.1)
}

%condition (p.2: (s32[], f32[100])) -> pred[] {
  %p.2 = (s32[], f32[100]{0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

%graph (p.3: f32[100]) -> f32[100] {
  %p.3 = f32[100]{0} parameter(0)
  ROOT %copy.3 = f32[100]{0} copy(%p.3)
}

%less (p.4: f32[100]) -> f32[100] {
  %p.4 = f32[100]{0} parameter(0)
  ROOT %copy.4 = f32[100]{0} copy(%p.4)
}

%more (p.5: f32[100]) -> f32[100] {
  %p.5 = f32[100]{0} parameter(0)
  %copy.5 = f32[100]{0} copy(%p.5)
  ROOT %copy.6 = f32[100]{0} copy(%copy.5)
}

ENTRY %main (a: f32[100], which: s32[]) -> f32[100] {
  %a = f32[100]{0} parameter(0)
  %which = s32[] parameter(1)
  %start = (s32[], f32[100]{0}) tuple(%which, %a)
  %while.1 = (s32[], f32[100]{0}) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"7"}}
  %x.9 = f32[100]{0} get-tuple-element(%while.1), index=1
  %call.1 = f32[100]{0} call(%x.9), to_apply=%graph
  ROOT %conditional.1 = f32[100]{0} conditional(%which, %call.1, %call.1), branch_computations={%less, %more}
}
"""  # noqa: E501

FUSIONS = """
HloModule fusions

%sliced (q.1: f32[1000], q.2: f32[10]) -> f32[10] {
  %q.1 = f32[1000]{0} parameter(0)
  %narrow = bf16[1000]{0} convert(%q.1)
  %part = bf16[10]{0} slice(%narrow), slice={[5:15]}
  %wide = f32[10]{0} convert(%part)
  %q.2 = f32[10]{0} parameter(1)
  ROOT %sum.1 = f32[10]{0} add(%wide, %q.2)
}

%whole (q.3: f32[1000]) -> (bf16[10], bf16[1000]) {
  %q.3 = f32[1000]{0} parameter(0)
  %narrow.1 = bf16[1000]{0} convert(%q.3)
  %part.1 = bf16[10]{0} slice(%narrow.1), slice={[5:15]}
  ROOT %both = (bf16[10]{0}, bf16[1000]{0}) tuple(%part.1, %narrow.1)
}

%updated (q.4: f32[1000], q.5: f32[10]) -> f32[1000] {
  %q.4 = f32[1000]{0} parameter(0)
  %q.5 = f32[10]{0} parameter(1)
  %zero = s32[] constant(0)
  ROOT %put = f32[1000]{0} dynamic-update-slice(%q.4, %q.5, %zero)
}

%summed (q.6: f32[1000]) -> f32[] {
  %q.6 = f32[1000]{0} parameter(0)
  %zero.1 = f32[] constant(0)
  ROOT %total = f32[] reduce(%q.6, %zero.1), dimensions={0}, to_apply=%adding
}

%padded (q.7: f32[1000]) -> f32[20] {
  %q.7 = f32[1000]{0} parameter(0)
  %turned = f32[1000]{0} reverse(%q.7), dimensions={0}
  ROOT %few = f32[20]{0} slice(%turned), slice={[0:20]}
}

%taps (q.8: f32[1000]) -> f32[10] {
  %q.8 = f32[1000]{0} parameter(0)
  %none = f32[] constant(0)
  %wider = f32[1002]{0} pad(%q.8, %none), padding=1_1
  %tap.1 = f32[10]{0} slice(%wider), slice={[0:1000:100]}
  %tap.2 = f32[10]{0} slice(%wider), slice={[1:1001:100]}
  %tap.3 = f32[10]{0} slice(%wider), slice={[2:1002:100]}
  %pair = f32[10]{0} add(%tap.1, %tap.2)
  ROOT %sum.2 = f32[10]{0} add(%pair, %tap.3)
}

ENTRY %main (big: f32[1000], small: f32[10]) -> f32[10] {
  %big = f32[1000]{0} parameter(0)
  %small = f32[10]{0} parameter(1)
  %cut = f32[10]{0} fusion(%big, %small), kind=kLoop, calls=%sliced
  %kept = (bf16[10]{0}, bf16[1000]{0}) fusion(%big), kind=kLoop, calls=%whole
  %placed = f32[1000]{0} fusion(%big, %small), kind=kLoop, calls=%updated
  %total.1 = f32[] fusion(%big), kind=kInput, calls=%summed
  %few.1 = f32[20]{0} fusion(%big), kind=kLoop, calls=%padded
  %strided = f32[10]{0} fusion(%big), kind=kLoop, calls=%taps
  %many.1 = (f32[1]{0}, f32[1]{0}, f32[1]{0}, f32[1]{0}, f32[1]{0}, /*index=5*/f32[1]{0}) fusion(%small), kind=kLoop, calls=%six
  %bare = f32[1000]{0} dynamic-update-slice(%big, %small, %total.1)
  ROOT %cudnn-conv.1 = (f32[10]{0}, u8[4096]{0}) custom-call(%big, %small), window={size=3x3}, custom_call_target="__cudnn$convForward", metadata={op_name="jit(f)/transpose(jvp(D))/D.features/backbone/stage0_1/bn/mul"}
}
"""  # noqa: E501


def test_loops_calls_and_branches_are_entered():
    kernels = read_kernels(LOOP)
    assert [(kernel.kind, kernel.times, kernel.moved) for kernel in kernels] == [
        ("wrapped_negate", 7, 800),
        ("copy", 1, 800),
        ("copy", 1, 800),  # the branch with more traffic
        ("copy", 1, 800),
    ]
    assert program.place(kernels[0].origin) == "update"


def test_the_traffic_of_a_fusion_is_what_it_reads_and_writes():
    moved = {kernel.kind: kernel.moved for kernel in read_kernels(FUSIONS)}
    assert moved == {
        "cut": 10 * 4 + 40 + 40,  # a slice of the large operand, in its type in memory
        "kept": 20 + 2000 + 4000,  # the slice, and all of it
        "placed": 40 + 40,  # in place
        "total": 4 + 4000,
        "few": 80 + 80,  # an elementwise loop over 20 results reads 20 elements
        "strided": 40 + 3 * 40,  # three taps per result, whatever pads the map before them
        "many": 6 * 4 + 40,
        "bare": 40 + 40,
        "__cudnn$convForward": 40 + 4000 + 40,  # without the library's scratch memory
    }


def test_library_convolutions_are_told_apart_and_placed():
    last = read_kernels(FUSIONS)[-1]
    assert "f32[1000]" in last.library and "size=3x3" in last.library
    assert program.place(last.origin) == "backbone/stage0_1 backward"
    rows = {row[1]: row[2] for row in program.describe("case", FUSIONS, 2, {"maps": 4e9})}
    assert rows["kernels"] == 9 and rows["distinct library convolutions"] == 1
    assert rows["lower bound, maps"] == 2.0
    assert rows["traffic"] == pytest.approx(sum(k.moved for k in read_kernels(FUSIONS)) / 2 / 1e9)


def test_bytes_of_shapes():
    assert num_bytes("(bf16[2,3]{1,0}, pred[5]{0}, f32[])") == 12 + 5 + 4


def test_the_lower_bound_grows_with_pixels_and_number_format():
    models = {"student": build_detector(TINY)}
    small, large = (least_bytes(models, ("student",), (1, side, side, 3), 2) for side in (64, 128))
    assert large["maps"] == 4 * small["maps"] and large["parameters"] == small["parameters"]
    frozen = least_bytes(models, (), (1, 64, 64, 3), 2)
    assert frozen["maps"] < small["maps"] / 2 and frozen["parameters"] == small["parameters"] / 8
    wide = least_bytes(models, ("student",), (1, 64, 64, 3), 4)
    assert small["maps"] < wide["maps"] < 2 * small["maps"]  # the final maps are float32 either way


def test_without_the_plugin_the_part_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(program_target, "PLUGINS", ("no_such_plugin",))
    assert list(program.run(None, None)) == []
    assert "jax[cuda13]" in capsys.readouterr().err


def test_every_case_has_a_number_format_that_networks_can_be_built_in():
    assert {case[3] for case in program.CASES} == {"float32", "bfloat16"} <= set(DTYPES)


@pytest.mark.long
@pytest.mark.skipif(not program_target.is_there(), reason="the CUDA plugin is not installed")
def test_a_step_is_compiled_for_a_gpu_that_is_not_there():
    rows = {row[1]: row[2] for row in program.measure("student", 64, 2, "bfloat16")}
    assert 500 < rows["kernels"] < 1300 and rows["traffic"] > 0
