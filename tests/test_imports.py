"""The walls of the house: who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rooms import LAYERS, PACKAGES, PROGRAMS, ROOT, circle, imported, modules, rooms, wrong_ways

TORCH = {"torch", "torchvision"}
CLIENT = sorted((ROOT / "fovea" / "client").glob("*.py"))
GRPC = {"grpc", "grpc_health", "grpc_reflection", "grpc_status"}


def offenders(modules: list[Path], forbidden: set[str], root: Path = ROOT) -> list[str]:
    return [
        f"{module.relative_to(root)} imports {name}"
        for module in modules
        for name in imported(module, root)
        if any(name == wall or name.startswith(f"{wall}.") for wall in forbidden)
    ]


def loaded_with(module: Path) -> list[str]:
    """The modules that are loaded as soon as this one is."""
    statements = ast.parse(module.read_text(encoding="utf-8")).body
    names = [alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names]
    return names + [str(node.module) for node in statements if isinstance(node, ast.ImportFrom)]


def test_packages_are_where_this_test_looks() -> None:
    assert all(modules(package) for package in ("fovea", *PROGRAMS))


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_do_not_import_each_other(program: str) -> None:
    assert offenders(modules(program), set(PROGRAMS) - {program}) == []


def test_fovea_imports_no_program() -> None:
    assert offenders(modules("fovea"), set(PROGRAMS)) == []


def test_torch_stays_in_the_trainer() -> None:
    outside = [*modules("fovea"), *modules("server"), *modules("scorer"), *modules("demo")]
    assert offenders(outside, TORCH) == []


def test_grpc_stays_in_server_stubs_and_client() -> None:
    allowed = set(CLIENT)
    generated = {ROOT / "fovea" / "v1", ROOT / "fovea" / "oip"}
    fovea = [m for m in modules("fovea") if m not in allowed and not generated & set(m.parents)]
    assert offenders([*fovea, *modules("trainer"), *modules("scorer")], GRPC) == []


def test_the_kubernetes_client_stays_in_the_drivers_package() -> None:
    everywhere = [module for package in ("fovea", *PROGRAMS) for module in modules(package)]
    others = [module for module in everywhere if module.parent != ROOT / "scorer" / "cluster"]
    assert offenders(others, {"kubernetes"}) == []


def test_opentelemetry_is_loaded_where_spans_are_wanted_and_nowhere_else() -> None:
    """By two modules, which others load inside a function; a name for a type loads nothing."""
    loading = ("opentelemetry", "fovea.span_export", "server.calls.call_traces")
    everywhere = [module for package in ("fovea", *PROGRAMS) for module in modules(package)]
    at_once = {
        str(module.relative_to(ROOT))
        for module in everywhere
        if any(name.startswith(loading) for name in loaded_with(module))
    }
    assert at_once == {"fovea/span_export.py", "server/calls/call_traces.py"}


def test_client_does_not_import_the_open_inference_protocol() -> None:
    # Its symbols clash with tritonclient's in the same process.
    assert offenders(CLIENT, {"fovea.oip"}) == []


def test_the_client_loads_grpc_and_nothing_heavier(tmp_path: Path) -> None:
    """A caller installs and loads no more: extras bring the rest, and what uses it is loaded with its use."""
    (tmp_path / "cat.jpg").write_bytes(b"image")
    program = (
        "import sys, grpc, google.protobuf\n"
        "before = {*sys.modules, *sys.stdlib_module_names}\n"
        "import fovea.client, fovea.client.command\n"
        "assert fovea.client.encoded(sys.argv[1]) == fovea.client.encoded(b'image')\n"
        "assert 'fovea.v1' not in sys.modules\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - before)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "cat.jpg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.split() == ["fovea"]


def test_proto_holds_no_python() -> None:
    # `proto` is the import name of proto-plus.
    assert modules("proto") == []


def test_an_import_inside_a_function_is_seen(tmp_path: Path) -> None:
    (tmp_path / "fovea").mkdir()
    (tmp_path / "fovea" / "bad.py").write_text("def f():\n    from torch.nn import Module\n")
    assert offenders([tmp_path / "fovea" / "bad.py"], TORCH, tmp_path) != []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_between_rooms_run_downwards(package: str) -> None:
    assert rooms(package) == set(" ".join(LAYERS[package]).split()), "LAYERS names what there is"
    assert wrong_ways(package) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    assert circle(package) == []


def test_a_package_itself_is_below_all_its_rooms() -> None:
    roots = [ROOT / package / "__init__.py" for package in PACKAGES]
    assert offenders(roots, set(PACKAGES)) == []


def test_an_import_upwards_or_sideways_is_named_wherever_it_stands(tmp_path: Path) -> None:
    room = tmp_path / "server" / "models"
    room.mkdir(parents=True)
    (room / "good.py").write_text("from server.queue import batcher\nfrom server.models.bad import f\n")
    (room / "bad.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from server.calls.service import Service\n"
        "def f():\n    from server import lifecycle\n    from ..net import tls\n    import server.attic\n"
    )
    assert sorted(wrong_ways("server", tmp_path)) == [
        "server.models.bad imports server.attic",
        "server.models.bad imports server.calls.service.Service",
        "server.models.bad imports server.lifecycle",
        "server.models.bad imports server.net.tls",
    ]


def test_a_circle_is_seen_though_it_closes_inside_a_function(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ear.py").write_text("from server import mouth\n")
    (tmp_path / "server" / "mouth.py").write_text("def speak():\n    from server.ear import listen\n")
    assert set(circle("server", tmp_path)) == {"server.ear", "server.mouth"}
