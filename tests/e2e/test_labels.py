"""Labels read from a real Label Studio: everything people do to annotations ends up in the book."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from e2e.conftest import ACCOUNT
from labelqueue.demo.server import DATABASE
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.reading.reading import read_project
from labelqueue.state.label_book import FORMAT, LabelBook
from labelqueue.state.project import Project, ProjectRef

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EVERYTHING = """<View><Image name="image" value="$image"/>
<Choices name="choice" toName="image"><Choice value="cat"/><Choice value="Dog" alias="dog"/></Choices>
<Choices name="tags" toName="image" choice="multiple"><Choice value="wet"/><Choice value="dark"/></Choices>
<Choices name="tree" toName="image" allowNested="true"><Choice value="a"><Choice value="b"/></Choice></Choices>
<Taxonomy name="taxonomy" toName="image"><Choice value="animal"><Choice value="cat"/><Choice value="dog"/></Choice>
</Taxonomy><Rating name="stars" toName="image" maxRating="4"/>
<RectangleLabels name="box" toName="image"><Label value="cat"/><Label value="dog"/></RectangleLabels>
<EllipseLabels name="ellipse" toName="image"><Label value="cat"/></EllipseLabels>
<KeyPointLabels name="point" toName="image"><Label value="cat"/></KeyPointLabels>
<PolygonLabels name="polygon" toName="image"><Label value="cat"/></PolygonLabels>
<BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>"""
BOX = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
# control -> results of its regions as the editor submits them, and what the task's label is then
CONTROLS = {
    "choice": ([("choices", ["dog"], {})], "dog"),
    "tags": ([("choices", ["wet", "dark"], {})], ("dark", "wet")),
    "tree": ([("choices", [["a"], ["a", "b"]], {})], "a > b"),
    "taxonomy": ([("taxonomy", [["animal", "dog"]], {})], ("animal > dog",)),
    "stars": ([("rating", 3, {})], "3"),
    "box": ([("rectanglelabels", ["dog"], BOX), ("rectanglelabels", ["dog", "cat"], BOX)], ("cat", "dog")),
    "ellipse": ([("ellipselabels", ["cat"], {"x": 9, "y": 9, "radiusX": 2, "radiusY": 3, "rotation": 0})], ("cat",)),
    "point": ([("keypointlabels", ["cat"], {"x": 9, "y": 9, "width": 0.3})], ("cat",)),
    "polygon": ([("polygonlabels", ["cat"], {"points": [[1, 1], [9, 1], [5, 5]], "closed": True})], ("cat",)),
    "brush": ([("brushlabels", ["cat"], {"format": "rle", "rle": [0, 0, 0, 16, 43, 7]})], ("cat",)),
}


def result(control, kind, labels, more, number=0):
    # Of a region the editor says the image's size too.
    region = {"original_width": 640, "original_height": 480, "image_rotation": 0} if more else {}
    value = {**more, kind: labels}
    return {"id": f"r{number}", "from_name": control, "to_name": "image", "type": kind, "value": value, **region}


def choice(label):
    return result("choice", "choices", [label], {})


@pytest.fixture(scope="module")
def second(api):
    """Another annotator."""
    user = api.sign_up("second@test.local")
    yield user
    user.close()


@pytest.fixture
def client(label_studio):
    return LabelStudio(label_studio.url, ACCOUNT.token)


class Reader:
    """What `tend` does of a project, as far as labels go."""

    def __init__(self, store, api, client, tasks):
        self.id = api.create_project("labels", EVERYTHING)
        self._api, self._client = api, client
        self.project = Project(store, ProjectRef.from_api(client.origin, client.project(self.id)))
        self.project.register(label_config=EVERYTHING)
        api.import_tasks(self.id, tasks)
        self.tasks = api.task_ids(self.id)

    def aim(self, target):
        self.project.take_extra_params({"target": target})

    def change_config(self, config):
        self._api.update_project(self.id, label_config=config)
        self.project.set(label_config=config)

    def read(self):
        target = self.project.target()
        read_project(self.project, self._client, target, None, (), lambda: None)
        return LabelBook(self.project).labels(target)

    def values(self):
        return self.read().values


@pytest.fixture
def reader(store, api, client):
    return Reader(store, api, client, [{"data": {"image": f"http://images.test/{number}.jpg"}} for number in range(8)])


def annotate(user, task, *results, **more):
    return user.call("POST", f"/api/tasks/{task}/annotations", json={"result": list(results), **more})["id"]


def change(user, annotation, **values):
    user.call("PATCH", f"/api/annotations/{annotation}/", json=values)


def test_the_labels_of_every_control_are_read(api, reader):
    everything = [
        result(control, *region, number=number)
        for control, (regions, _) in CONTROLS.items()
        for number, region in enumerate(regions)
    ]
    annotate(api, reader.tasks[0], *everything)
    annotate(api, reader.tasks[1])
    for control, (_, value) in CONTROLS.items():
        reader.aim(control)
        labels = reader.read()
        # Submitted empty: no class, and none of several labels.
        empty = {} if isinstance(value, str) else {reader.tasks[1]: ()}
        assert labels.values == {reader.tasks[0]: value, **empty}, control
        assert labels.dropped == {} and set(labels.classes) >= ({value} if isinstance(value, str) else set(value))


def test_the_book_follows_what_an_annotator_does(api, reader):
    task, other = reader.tasks[:2]
    assert reader.values() == {}
    annotation = annotate(api, task, choice("cat"))
    assert reader.values() == {task: "cat"}
    change(api, annotation, result=[choice("dog")])
    assert reader.values() == {task: "dog"}
    api.call("POST", f"/api/tasks/{other}/drafts?project={reader.id}", json={"result": [choice("cat")], "lead_time": 1})
    annotate(api, reader.tasks[2], was_cancelled=True)
    assert reader.values() == {task: "dog"}
    change(api, annotation, was_cancelled=True)
    assert reader.values() == {}
    change(api, annotation, was_cancelled=False)
    assert reader.values() == {task: "dog"}
    api.call("DELETE", f"/api/annotations/{annotation}/")
    assert reader.values() == {}


def test_several_annotators(api, second, reader):
    task = reader.tasks[0]
    mine = annotate(api, task, choice("cat"))
    theirs = annotate(second, task, choice("dog"))
    assert reader.values() == {}
    third = annotate(second, task, choice("dog"))
    assert reader.values() == {task: "dog"}
    change(api, mine, ground_truth=True)
    assert reader.values() == {task: "cat"}
    change(second, theirs, ground_truth=True)  # Label Studio lets a task have one
    assert reader.values() == {task: "dog"}
    for gone in (theirs, third):
        api.call("DELETE", f"/api/annotations/{gone}/")
    assert reader.values() == {task: "cat"}
    (held,) = LabelBook(reader.project).annotations()[task]
    assert held.id == mine and held.user == api.call("GET", "/api/current-user/whoami")["id"]


def test_labels_come_in_the_order_in_which_they_were_given(api, reader):
    first, second, third = reader.tasks[:3]
    corrected = annotate(api, third, choice("cat"))
    annotate(api, first, choice("cat"))
    annotate(api, second, choice("dog"))
    change(api, corrected, result=[choice("dog")])
    assert list(reader.values().items()) == [(third, "dog"), (first, "cat"), (second, "dog")]


def test_imported_labels_are_found(store, api, client, second):
    tasks = [
        {"data": {"image": f"http://images.test/{number}.jpg"}, "annotations": [{"result": [choice(label)], **more}]}
        for number, (label, more) in enumerate(
            [("cat", {}), ("dog", {"ground_truth": False}), ("cat", {"was_cancelled": True}), ("whale", {})]
        )
    ]
    reader = Reader(store, api, client, tasks)
    starred, plain, skipped, _ = reader.tasks
    labels = reader.read()
    assert labels.values == {starred: "cat", plain: "dog"} and labels.dropped == {"whale": 1}
    # An import counts as ground truth unless it says otherwise.
    annotate(second, starred, choice("dog"))
    annotate(second, plain, choice("cat"))
    annotate(second, skipped, choice("dog"))
    assert reader.values() == {starred: "cat", skipped: "dog"}


def test_labels_that_label_studio_loses_while_its_database_is_busy_are_imported_again(api, reader, label_studio):
    tasks = [
        {"data": {"image": f"http://images.test/{number}.png"}, "annotations": [{"result": [choice("dog")]}]}
        for number in range(20)
    ]
    busy = sqlite3.connect(label_studio.data_dir / DATABASE, isolation_level=None, check_same_thread=False, timeout=60)
    with closing(busy):
        busy.execute("BEGIN IMMEDIATE")
        end = threading.Timer(1, busy.rollback)
        end.start()
        api.import_tasks(reader.id, tasks)
        end.join()
    labeled = [task for task in api.task_ids(reader.id) if task not in reader.tasks]
    assert len(labeled) == 20 and reader.values() == dict.fromkeys(labeled, "dog")


def test_actions_on_many_tasks(api, reader):
    chosen = reader.tasks[:3]
    predictions = [
        {"task": task, "result": [choice("cat")], "score": 0.5, "model_version": "v1"} for task in reader.tasks[:2]
    ]
    api.call("POST", f"/api/projects/{reader.id}/import/predictions", json=predictions)
    assert reader.values() == {}
    body = {"selectedItems": {"all": False, "included": chosen}, "ordering": [], "model_version": "v1"}
    api.call("POST", f"/api/dm/actions?id=predictions_to_annotations&project={reader.id}", json=body)
    assert reader.values() == dict.fromkeys(chosen[:2], "cat")
    annotate(api, chosen[2], choice("dog"))
    assert len(reader.values()) == 3
    body["selectedItems"]["included"] = chosen[1:]
    api.call("POST", f"/api/dm/actions?id=delete_tasks_annotations&project={reader.id}", json=body)
    assert reader.values() == {chosen[0]: "cat"}
    api.delete_tasks(reader.id, chosen[:1])
    reader.project.set(want_full="1")
    assert reader.values() == {} and LabelBook(reader.project).tasks() == set()


def test_a_changed_label_config_is_a_matter_of_reading_the_book(api, reader, monkeypatch):
    for task, label in zip(reader.tasks, ["cat", "dog", "dog"], strict=False):
        annotate(api, task, choice(label))
    assert len(reader.values()) == 3
    monkeypatch.setattr(reader._client, "annotated", lambda *arguments, **options: iter(()))  # no second reading
    reader.change_config(EVERYTHING.replace('<Choice value="Dog" alias="dog"/>', '<Choice value="bird"/>'))
    labels = reader.read()
    assert labels.values == {reader.tasks[0]: "cat"}
    assert labels.classes == ("cat", "bird") and labels.dropped == {"dog": 2}


def test_a_lost_book_is_read_again(store, api, reader):
    annotate(api, reader.tasks[0], choice("cat"))
    before = reader.values()
    LabelBook(reader.project).drop(reader.tasks)
    store.delete(reader.project.name("labels", FORMAT))
    assert reader.project.get("read_to") and reader.values() == before == {reader.tasks[0]: "cat"}


def test_many_labels_are_read_in_few_requests(store, api, client, monkeypatch):
    tasks = [
        {"data": {"image": f"http://images.test/{number}.jpg"}, "annotations": [{"result": [choice("cat")]}]}
        for number in range(1000)
    ]
    reader = Reader(store, api, client, tasks)
    (other,) = Reader(store, api, client, tasks[:1]).tasks
    asked, send = [], client._session._send
    monkeypatch.setattr(client._session, "_send", lambda *call, **options: asked.append(call) or send(*call, **options))
    assert reader.values() == dict.fromkeys(reader.tasks, "cat")
    annotations = [call for call in asked if "completed_by" in call[1]]
    assert len(annotations) == 10 and len(asked) <= 14, "the project, the newest change, a page of tasks"
    assert client.existing(reader.id, [*reader.tasks[:250], other]) == set(reader.tasks[:250])
