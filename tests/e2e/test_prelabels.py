"""Pre-labels on a real Label Studio: every form of answer is published, read back, and shown in its form."""

from __future__ import annotations

import pytest

from e2e.conftest import ACCOUNT
from labelqueue.labels.annotations import read_annotation
from labelqueue.labels.values import value_of
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.ordering.order import Order, Place
from labelqueue.publishing.publishing import Publisher
from labelqueue.state.project import Project, ProjectRef

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ODD = (
    "<Choice value='a &gt; b'/><Choice value='\"q\" &amp; &apos;'/><Choice value='äß 日本 😀'/><Choice value=' s '/>"
    "<Choice value='5'/>"
)
TREE = (
    "<Choice value='animal'><Choice value='cat &gt; kitten'/><Choice value='Dog' alias='d o g'/></Choice>"
    "<Choice value='Things' alias='thing'><Choice value='\"car\"'><Choice value='日本車'/></Choice></Choice>"
    "<Choice value='stone'/>"
)
CONTROLS = {
    "single": "<Choices name='c' toName='image'><Choice value='cat'/><Choice value='Dog' alias='dog'/></Choices>",
    "odd names": f"<Choices name='c' toName='image'>{ODD}</Choices>",
    "several": f"<Choices name='c' toName='image' choice='multiple'>{ODD}</Choices>",
    "select": "<Choices name='c' toName='image' layout='select'><Choice value='cat'/><Choice value='dog'/></Choices>",
    "in a view": "<Choices name='c' toName='image'><View><Choice value='cat'/></View><Choice value='dog'/></Choices>",
    "inner ones skipped": f"<Choices name='c' toName='image'>{TREE}</Choices>",
    "lower case": "<choices name='c' toName='image'><choice value='cat'/><choice value='dog'/></choices>",
    "named like its answers": "<Choices name='choices' toName='image'><Choice value='cat'/></Choices>",
    "nested": f"<Choices name='c' toName='image' allowNested='true'>{TREE}</Choices>",
    "nested, several": f"<Choices name='c' toName='image' choice='multiple' allowNested='true'>{TREE}</Choices>",
    "nested, but flat": "<Choices name='c' toName='image' allowNested='true'><Choice value='cat'/></Choices>",
    "rating": "<Rating name='c' toName='image'/>",
    "long rating": "<Rating name='c' toName='image' maxRating='12'/>",
    "taxonomy": f"<Taxonomy name='c' toName='image'>{TREE}</Taxonomy>",
    "lower taxonomy": "<taxonomy name='c' toName='image'><Choice value='cat'/></taxonomy>",
}
# What the import refuses though it is right: it reads `maxRating` as a whole number, and as it is written only.
REFUSED = {
    "rating with a point": "<Rating name='c' toName='image' maxRating='10.0'/>",
    "rating of another case": "<Rating name='c' toName='image' maxrating='7'/>",
}


class Published:
    """A project with one task for each label, and the order that answers every task with its own."""

    def __init__(self, store, api, client, control, *, bulk):
        config = f'<View><Image name="image" value="$image"/>{control}</View>'
        self.api, self.id = api, api.create_project("pre-labels", config)
        self.project = Project(store, ProjectRef.from_api(client.origin, client.project(self.id)))
        self.project.register(label_config=config)
        self.project.set(single_seconds="9" if bulk else "0.0001", bulk_seconds="0.01" if bulk else "9")
        self.target = self.project.target()
        labels = list(self.target.labels)
        values = [(label,) for label in labels] + [tuple(sorted(labels))] if self.target.multi else labels
        api.import_tasks(self.id, [{"data": {"image": "http://images.test/a.jpg"}} for _ in [*values, None]])
        # One task of the order has no pre-label.
        self.wanted = dict(zip(api.task_ids(self.id), [*values, None], strict=True))
        order = Order(
            number=0, version="BAL", strategy="BAL", parameters={"seed": 0}, generation="g", arrivals=1, labeled=0,
            embedded=1, created_at=0.0, places=tuple(Place(task, "why", prelabel=v) for task, v in self.wanted.items()),
        )  # fmt: skip
        publisher = Publisher(self.project, client, lambda: None, client.project(self.id), self.target)
        self.version = publisher.publish(order).version

    def results(self):
        """Return the result of the one prediction that each task has."""
        found = {task: self.api.predictions(task, self.version) for task in self.wanted}
        assert all(len(predictions) == 1 for predictions in found.values())
        return {task: prediction["result"] for task, (prediction,) in found.items()}

    def read(self, result):
        """Return the label that a result comes to once somebody submits it."""
        raw = {"id": 1, "updated_at": "now", "result": result}
        return value_of([read_annotation(raw)], self.target) if result else None


@pytest.fixture
def publish(store, api, label_studio):
    client = LabelStudio(label_studio.url, ACCOUNT.token)
    return lambda control, **options: Published(store, api, client, control, **options)


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_every_answer_is_stored_as_it_will_be_read(publish, control, bulk):
    published = publish(control, bulk=bulk)
    assert {task: published.read(result) for task, result in published.results().items()} == published.wanted
    assert '"count": 0' in published.project.get("refused_prelabels")


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("control", REFUSED.values(), ids=REFUSED)
def test_what_the_import_refuses_is_left_out_and_said(publish, control, bulk):
    published = publish(control, bulk=bulk)
    read = {task: published.read(result) for task, result in published.results().items()}
    without = {task for task, value in published.wanted.items() if value is not None and read[task] is None}
    assert {task: value for task, value in read.items() if task not in without} == {
        task: value for task, value in published.wanted.items() if task not in without
    }
    assert bool(without) is bulk and f'"count": {len(without)}' in published.project.get("refused_prelabels")
    assert not bulk or f"task {min(without)}: Label Studio's import refuses it" in published.project.get(
        "refused_prelabels"
    )


@pytest.mark.parametrize("name", ["single", "nested", "nested, but flat"])
def test_the_form_shows_the_answer(publish, browser, api, name):
    published = publish(CONTROLS[name], bulk=True)
    task = next(iter(published.wanted))
    page = browser.new_page()
    page.goto(f"{api.url}/projects/{published.id}/data?task={task}")
    page.get_by_text("Submit").first.wait_for(timeout=60_000)
    page.wait_for_function("() => document.querySelectorAll('input:checked').length > 0", timeout=60_000)
    page.get_by_text("Submit").first.click()
    for _ in range(60):
        if said := api.annotations(task):
            break
        page.wait_for_timeout(500)
    page.close()
    (result,) = api.predictions(task, published.version)[0]["result"]
    assert said[0]["result"][0]["value"] == result["value"], "the editor submits the form that we publish"
