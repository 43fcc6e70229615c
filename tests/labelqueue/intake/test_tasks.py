"""Chosen images become tasks: in order, in batches, none twice, whatever breaks off."""

import base64
import json
from urllib.parse import urlsplit

import pytest

from http_stub import serving
from labelqueue.cli.parser import main
from labelqueue.exceptions import LabelStudioError, ProjectError
from labelqueue.intake import tasks
from labelqueue.intake.tasks import bring, task_data
from labelqueue.labelstudio import LabelStudio

KEY = "0" * 40
CHOICES = '<Choices name="c" toName="i"><Choice value="a"/></Choices>'


class Server:
    """As much of Label Studio as an import sees."""

    def __init__(self, field='value="$image"'):
        self.config = f'<View><Image name="i" {field}/>{CHOICES}</View>'
        self.tasks, self.fails, self.sizes = [], [], []

    def answer(self, method, path, headers, body):
        parts = urlsplit(path)
        if parts.path == "/api/projects/7":
            return 200, {}, {"id": 7, "title": "photos", "label_config": self.config}
        if parts.path == "/api/projects/7/import" and method == "POST":
            if self.fails and (how := self.fails.pop(0)):
                if how == "lost":  # made, and the answer never came
                    self.tasks += [row["data"] for row in json.loads(body)]
                return 503, {}, b"busy"
            rows = json.loads(body)
            self.sizes.append(len(rows))
            self.tasks += [row["data"] for row in rows]
            return 201, {}, {"task_count": len(rows)}
        if parts.path == "/api/tasks":
            rows = [{"id": number, "data": data} for number, data in enumerate(self.tasks, start=1)]
            return 200, {}, {"tasks": rows, "total": len(rows)}
        return 404, {}, {}


@pytest.fixture
def studio(monkeypatch):
    server = Server()
    monkeypatch.setattr(tasks, "BATCH", 3)
    with serving(server.answer) as (url, calls):
        server.client, server.url, server.calls = LabelStudio(url, KEY), url, calls
        yield server


IMAGES = [f"s3://b/{number}.jpg" for number in (4, 2, 9, 1, 7, 3, 8)]


def images(server):
    return [data["image"] for data in server.tasks]


def test_tasks_in_the_order_of_the_list_in_batches(studio):
    counted = []
    found = bring(studio.client, 7, IMAGES, counted.append)
    assert (found.title, found.made, found.here) == ("photos", 7, 0)
    assert images(studio) == IMAGES and studio.sizes == [3, 3, 1] and sum(counted) == 7


def test_none_is_made_twice(studio):
    encoded = base64.urlsafe_b64encode(IMAGES[1].encode()).decode()
    studio.tasks = [{"image": IMAGES[4]}, {"image": f"/tasks/2/resolve/?fileuri={encoded}"}, {"other": 1}]
    found = bring(studio.client, 7, IMAGES)
    assert (found.made, found.here) == (5, 2)
    assert images_after(studio) == [IMAGES[place] for place in (0, 2, 3, 5, 6)]
    assert bring(studio.client, 7, IMAGES).made == 0


def images_after(server):
    return [data["image"] for data in server.tasks[3:]]


@pytest.mark.parametrize("how", ["refused", "lost"])
def test_an_import_that_broke_off_goes_on(studio, how):
    studio.fails = ["", how]
    with pytest.raises(LabelStudioError, match=r"3 of 7 tasks were made, and the same command goes on"):
        bring(studio.client, 7, IMAGES)
    bring(studio.client, 7, IMAGES)
    assert images(studio) == IMAGES


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ('value="$photo"', {"photo": "u"}),
        ('value="$meta.image"', {"meta": {"image": "u"}}),
        ('value="$images[0]"', {"images": ["u"]}),
        ('valueList="$images"', {"images": ["u"]}),
    ],
)
def test_the_image_stands_where_the_label_config_looks(studio, field, data):
    studio.config = Server(field).config
    bring(studio.client, 7, ["u"])
    assert studio.tasks == [data]
    assert bring(studio.client, 7, ["u"]).here == 1


@pytest.mark.parametrize("field", ['value="https://cdn/$file"', 'value="$images[2]"'])
def test_a_config_that_cannot_be_filled_is_named(studio, field):
    studio.config = Server(field).config
    with pytest.raises(ProjectError, match="the label config"):
        bring(studio.client, 7, ["u"])
    assert studio.tasks == []


def test_what_is_no_field_of_a_task_is_refused():
    with pytest.raises(ProjectError, match="no field of a task"):
        task_data("[0]", "u")


def test_the_command(studio, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    (tmp_path / "first.csv").write_text("rank,path,reason\n1,s3://b/1.jpg,x\n2,s3://b/2.jpg,y\n3,s3://b/1.jpg,x\n")
    assert main(["import", "7", str(tmp_path / "first.csv")]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == [
        "project 7 ('photos'): 2 tasks were made of 2 images",
        "  1 rows named an image again",
    ]
    assert "Cloud Storage" in said
    assert main(["import", "7", str(tmp_path / "first.csv"), "--json", "--replace", "s3://b=https://cdn.test"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["made"], told["here"], told["repeated"], told["cloud"]) == (2, 0, 1, False)
    assert images(studio)[2:] == ["https://cdn.test/1.jpg", "https://cdn.test/2.jpg"]
    (tmp_path / "paths.txt").write_text("/mnt/1.jpg\n")
    assert main(["import", "7", str(tmp_path / "paths.txt")]) == 1
    assert "--replace" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["import", "7", "x", "--replace", "=a"])
