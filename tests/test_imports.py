"""The walls of the house: who may import what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = ("trainer", "server", "scorer")
TORCH = {"torch", "torchvision"}
CLIENT = sorted((ROOT / "fovea" / "client").glob("*.py"))
GRPC = {"grpc", "grpc_health", "grpc_reflection", "grpc_status"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(module: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions; relative imports made absolute."""
    package = module.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(module.read_text(), str(module))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*prefix, node.module] if node.module else prefix)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def offenders(modules: list[Path], forbidden: set[str]) -> list[str]:
    return [
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules
        for name in imported(module)
        if any(name == wall or name.startswith(f"{wall}.") for wall in forbidden)
    ]


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


def test_an_import_inside_a_function_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_imports.ROOT", tmp_path)
    (tmp_path / "fovea").mkdir()
    (tmp_path / "fovea" / "bad.py").write_text("def f():\n    from torch.nn import Module\n")
    assert offenders([tmp_path / "fovea" / "bad.py"], TORCH) != []
