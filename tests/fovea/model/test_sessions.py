"""How onnxruntime is told to use the machine."""

import logging
import sys
import textwrap
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from fovea.cpus import available_cpus
from fovea.errors import Unavailable
from fovea.model.bundle import ModelBundle
from fovea.model.sessions import CPU, CUDA, Provider, SessionOptions, open_session
from tests import programs


def test_threads_spin_only_where_it_is_asked_for(tiny_bundle: ModelBundle) -> None:
    for options, threads, spinning in (
        (SessionOptions(threads=3), 3, "0"),
        (SessionOptions(threads=1, spinning=True), 1, "1"),
        (None, available_cpus(), "0"),
    ):
        options_in_use = open_session(tiny_bundle.model_path, "cpu", options).get_session_options()
        assert options_in_use.intra_op_num_threads == threads
        assert options_in_use.get_session_config_entry("session.intra_op.allow_spinning") == spinning
        assert options_in_use.get_session_config_entry("session.force_spinning_stop") == "1"
        assert options_in_use.log_severity_level == 3, "errors alone"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own account of memory")
def test_sessions_that_share_an_arena_take_their_memory_once(tmp_path: Path) -> None:
    """What the second's first run adds to the memory of the first's, in a process of its own."""
    wide = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    nodes = [helper.make_node("Abs", ["x"], ["y"]), helper.make_node("ReduceSum", ["y"], ["sum"])]
    one = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "wide", [wide], [one])
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "wide.onnx")
    code = f"""
        from pathlib import Path
        import numpy as np
        from fovea.model.sessions import SessionOptions, open_session

        def used():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous"))

        images = np.ones(16_000_000, np.float32)

        def kilobytes(options):
            model = Path({str(tmp_path / "wide.onnx")!r})
            sessions = [open_session(model, "cpu", options) for _ in range(2)]
            memory = [used()]
            for session in sessions:
                assert session.run(None, {{"x": images}})[0] == 16_000_000
                memory.append(used())
            return memory[1] - memory[0], memory[2] - memory[1]

        for shares in (False, True):
            print(*kilobytes(SessionOptions(threads=1, shares_arena=shares)))
    """
    done = programs.run("server", code=textwrap.dedent(code), timeout=60, cwd=programs.ROOT)
    (own, another), (shared, once) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert another > own / 2
    assert shared > own / 2
    assert once < shared / 10


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_auto_takes_the_cpu_where_cuda_does_not_come_up_and_says_so(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a machine without a device, with an onnxruntime that could use one."""
    if CUDA in ort.get_available_providers():
        pytest.skip("CUDA may come up")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    with caplog.at_level(logging.WARNING):
        assert open_session(tiny_bundle.model_path, "auto").get_providers() == [CPU]
    assert f"{CUDA} did not come up (onnxruntime fell back to {CPU}); provider auto takes" in caplog.text
    with pytest.raises(Unavailable, match="did not come up"):
        open_session(tiny_bundle.model_path, "cuda")


def test_only_a_gpu_is_told_how_to_use_one(tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What onnxruntime is asked for, on any machine; it then says that it has no room."""
    asked: list[object] = []

    def refuse(model: object, options: object, providers: object) -> None:
        asked.append(providers)
        raise RuntimeError("Failed to allocate memory\nand more of it")

    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda: asked.append("CUDA's libraries"))
    monkeypatch.setattr(ort, "InferenceSession", refuse)
    cases: list[tuple[Provider, SessionOptions]] = [
        ("cpu", SessionOptions(gpu_memory_bytes=1)),
        ("cuda", SessionOptions()),
        ("cuda", SessionOptions(gpu_memory_bytes=2**30)),
    ]
    for provider, options in cases:
        with pytest.raises(Unavailable, match=r"cannot load it now: Failed to allocate memory$"):
            open_session(tiny_bundle.model_path, provider, options)
    own = {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "do_copy_in_default_stream": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    limited = own | {"gpu_mem_limit": "1073741824"}
    loaded = "CUDA's libraries"
    assert asked == [[(CPU, {})], loaded, [(CUDA, own)], loaded, [(CUDA, limited)]]
