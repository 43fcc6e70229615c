"""What ties a project to this backend: it names us and leads to the console, its webhook has our secret and is on."""

import time
from datetime import UTC, datetime

import pytest

from labelqueue.exceptions import LabelStudioError, PublishError
from labelqueue.labelstudio.records import Hooks
from labelqueue.ordering.order import Order, Place
from labelqueue.publishing.connecting import GRACE, HOOKS_EVERY, MISSES, connected, secure_webhook
from labelqueue.publishing.publishing import PLAIN_SAMPLING, SAMPLING
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER

OURS = {"model_version": LIVE_VERSION, "url": "http://lq:9090", "title": "labelqueue"}
OTHER = {"model_version": "sam 2", "url": "http://lq:9090", "title": "labelqueue"}


class Remote:
    """The part of Label Studio that a connection is made of."""

    def __init__(self, project):
        created = datetime.fromtimestamp(project.ref.created, UTC).isoformat()
        self.values = {"id": 7, "created_at": created, "sampling": SAMPLING, "model_version": "r1 FreeSel"}
        self.backends, self.patches, self.secured = [OURS], [], []
        self.webhooks, self.off = 1, 0

    def project(self, project):
        return dict(self.values)

    def ml_backends(self, project, *, skipped=None):
        return self.backends

    def update_project(self, project, **values):
        self.patches.append(values)
        self.values |= values

    def secure_webhooks(self, project, url, headers, *, skipped=None):
        self.secured.append((project, url, headers))
        off, self.off = self.off, 0
        return Hooks(self.webhooks, off)


@pytest.fixture
def remote(project):
    order = Order(1, "r1 FreeSel", places=(Place(1, "why"),))
    Orders(project).save(order)
    Orders(project).go_live(order)
    project.set(sampling_before="Uniform sampling")
    return Remote(project)


@pytest.fixture
def tied(project, remote):
    return lambda check=lambda: None: connected(project, remote, remote.project(7), check)


def delayed(project):
    """Return in how many seconds a look is asked for, None when none is."""
    at = project.store.zscore("lq:delayed", project.key)
    return None if at is None else at - time.time()


class TestConnected:
    def test_the_backend_that_answers_like_us_is_ours(self, project, remote, tied):
        remote.backends = [OTHER, OURS | {"url": "http://proxy:80"}]
        project.set(paused=NOT_CONNECTED)
        assert tied()
        assert (project.get("backend_url"), project.get("backend_title")) == ("http://proxy:80", "labelqueue")
        assert project.get("paused") == "" and remote.patches == []

    def test_another_pause_stays(self, project, tied):
        project.set(paused="by an admin")
        assert tied() and project.get("paused") == "by an admin"

    def test_a_young_set_up_counts_and_is_looked_at_again(self, project, remote, tied):
        remote.backends = [OTHER]
        project.set(setup_at=str(time.time()))
        assert tied() and delayed(project) <= GRACE and remote.patches == []
        project.set(setup_at=str(time.time() - GRACE - 1))
        assert not tied()

    @pytest.mark.parametrize(("before", "after"), [("Uniform sampling", "Uniform sampling"), ("", PLAIN_SAMPLING)])
    def test_the_queue_is_given_back_and_every_wish_ends(self, project, remote, tied, before, after):
        remote.backends = []
        project.set(sampling_before=before, pause_wanted="p", resume_wanted="1", rollback_wanted="1")
        assert not tied() and remote.patches == [{"sampling": after}]
        wishes = [project.get(f"{wish}_wanted") for wish in ("pause", "resume", "rollback")]
        assert wishes == ["", "", ""] and project.get("paused") == NOT_CONNECTED and Orders(project).live() is None
        remote.values["sampling"] = SAMPLING  # a person's choice now
        assert not tied() and len(remote.patches) == 1, "given back once"

    def test_another_sampling_is_a_persons_and_stays(self, remote, tied):
        remote.backends, remote.values["sampling"] = [], PLAIN_SAMPLING
        assert not tied() and remote.patches == []

    def test_without_the_lock_nothing_is_given_back(self, project, remote, tied):
        def lost():
            raise PublishError("this job lost its project's lock")

        remote.backends = []
        with pytest.raises(PublishError):
            tied(lost)
        assert remote.patches == [] and Orders(project).live() is not None


class TestWebhook:
    @pytest.fixture
    def secure(self, project, remote):
        project.set(backend_url="http://lq:9090")
        return lambda: secure_webhook(project, remote, lambda: None)

    def test_it_gets_the_projects_secret_and_is_looked_at_each_minute(self, project, remote, secure):
        secure()
        secure()
        assert remote.secured == [(7, "http://lq:9090", {SECRET_HEADER: project.get("secret")})]
        assert len(project.get("secret")) > 20
        project.set(webhook_secured_at=str(time.time() - HOOKS_EVERY - 1))
        secure()
        assert len(remote.secured) == 2, "a person may have removed the header"

    def test_before_the_address_is_known_there_is_nothing_to_look_for(self, project, remote, secure):
        project.set(backend_url="")
        secure()
        assert remote.secured == []

    def test_one_that_is_not_there_yet_is_looked_for_again_a_few_times(self, project, remote, secure):
        remote.webhooks = 0
        for _ in range(MISSES - 1):
            project.store.delete("lq:delayed")
            secure()
            assert delayed(project) <= 3 and project.get("webhook_secured_at") == ""
        project.store.delete("lq:delayed")
        for _ in range(3):
            secure()
        assert len(remote.secured) == MISSES and delayed(project) is None

    def test_the_misses_are_forgotten_when_it_is_found(self, project, remote, secure):
        remote.webhooks = 0
        secure()
        remote.webhooks = 1
        secure()
        assert project.get("webhook_misses") == "0"

    def test_one_that_was_switched_off_is_on_again_counted_and_everything_is_read(self, project, remote, secure):
        remote.off = 1
        secure()
        assert (project.get("webhook_revived"), project.get("want_full")) == ("1", "1")
        assert float(project.get("webhook_revived_at")) == pytest.approx(time.time(), abs=60)
        project.set(webhook_secured_at=str(time.time() - HOOKS_EVERY - 1), want_full="0")
        secure()
        assert (project.get("webhook_revived"), project.get("want_full")) == ("1", "0"), "it was on"


class TestDescription:
    """The connection's description leads to the console, and a person's text stays."""

    URL = "http://localhost:9090"
    TOLD = "What the queue does, and why: http://localhost:9090/console/7"

    @pytest.fixture
    def described(self, project, remote):
        remote.changes, remote.refuses = [], False

        def update(backend, **values):
            remote.changes.append((backend, values))
            if remote.refuses:
                raise LabelStudioError("it cannot be reached", status=400)

        remote.update_backend = update

        def describe(public_url=self.URL, **backend):
            remote.backends = [OURS | {"id": 3, "description": "", "extra_params": {"seed": 4}} | backend]
            remote.changes.clear()
            assert connected(project, remote, remote.project(7), lambda: None, public_url=public_url)
            return remote.changes

        return describe

    @pytest.mark.parametrize("now", [None, "", "  ", "What the queue does, and why: http://old.test:1/console/7"])
    def test_an_empty_one_and_one_of_ours_are_set_once(self, project, described, now):
        ((backend, values),) = described(description=now)
        assert backend == 3 and values["description"] == self.TOLD and "title" not in values
        # Label Studio sends these to /setup before it takes the change: others would change settings.
        assert values["url"] == "http://lq:9090" and values["project"] == 7 and values["extra_params"] == {"seed": 4}
        assert "basic_auth_pass" not in values
        assert described(description=self.TOLD) == [], "it is there"
        assert described(description="") == [], "a person removed it"
        assert len(described(description="", id=4)) == 1, "a new connection"
        assert described("http://other.test", description=self.TOLD) == [], "two workers take no turns at it"
        project.set(described_at=str(time.time() - 601))
        assert len(described("https://queue.example.com", description=self.TOLD)) == 1, "the address changed"

    @pytest.mark.parametrize("text", ["Anna's model", "What the queue does, and why: ask Anna", f"{TOLD} (Anna)"])
    def test_a_persons_text_stays(self, described, text):
        assert described(description=text) == []

    def test_credentials_go_along_but_for_the_password(self, described):
        ((_, values),) = described(auth_method="BASIC_AUTH", basic_auth_user="admin")
        assert (values["auth_method"], values["basic_auth_user"], values["basic_auth_pass"]) == (
            "BASIC_AUTH",
            "admin",
            "",
        )

    def test_a_refusal_costs_nothing_and_is_tried_again_later(self, project, remote, described):
        remote.refuses = True
        assert len(described()) == 1 and described() == []
        remote.refuses = False
        project.set(described_at=str(time.time() - 601))
        assert len(described()) == 1 and described(description=self.TOLD) == []

    def test_a_label_studio_without_descriptions_is_left_alone(self, project, remote, described):
        described()
        remote.backends = [OURS | {"id": 9}]
        remote.changes.clear()
        assert connected(project, remote, remote.project(7), lambda: None, public_url=self.URL)
        assert remote.changes == []
