"""`labelqueue embeddings` as people call it."""

import json

import pytest

from labelqueue.cli import main
from labelqueue.state import TaskRow

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def call(project, deployment, monkeypatch, capsys):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in (1, 2, 3)})
    for name, value in (
        ("LABELQUEUE_HOME", deployment.home),
        ("LABEL_STUDIO_URL", deployment.label_studio_url),
        ("LABEL_STUDIO_API_KEY", "0" * 40),
    ):
        monkeypatch.setenv(name, str(value))

    def call(*arguments):
        status = main(["embeddings", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def test_an_import_and_an_export(call, project, tmp_path):
    path, out = tmp_path / "v.parquet", tmp_path / "out.parquet"
    parquet.write_table(pa.table({"task": [1, 2, 9], "vector": [[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]}), path)
    status, said, _ = call("import", 7, path, "--name", "clip")
    assert status == 0
    for part in ("2 vectors of 2 numbers", "1 of 3 rows", "row 3: task 9", "1 of 3 tasks have none", "name 'clip'"):
        assert part in said
    project.set(generation=json.loads(project.get("imported"))["generation"])  # as the next look does
    status, said, progress = call("export", 7, out, "--json")
    assert status == 0 and json.loads(said)["vectors"] == 2 and progress == ""
    status, _, error = call("export", 7, out)
    assert status == 1 and "is there already" in error and "--yes" in error
    assert call("export", 7, out, "--yes")[0] == 0
    assert parquet.read_table(out).column("vector").to_pylist() == [[1.0, 2.0], [2.0, 1.0]]


def test_errors_and_wrong_usage(call, tmp_path):
    status, _, error = call("import", 7, tmp_path / "none.parquet")
    assert status == 1 and "none.parquet cannot be read" in error
    status, _, error = call("import", 8, tmp_path / "none.parquet")
    assert status == 1 and "project 8" in error
    for wrong in (("import", 7, "v", "--name", "a b"), ("import",), ()):
        with pytest.raises(SystemExit) as ended:
            call(*wrong)
        assert ended.value.code == 2
