"""The web app: label-studio-ml's Flask app with our views in it, on 1.0.9 and on 2.x."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.routing import BaseConverter, Map

from ..console import console
from ..exceptions import LabelQueueError
from ..serving import MAX_BODY, NAME, Context, bad_request, guard, http_error, known_error, lost_store
from ..settings import Deployment
from ..telemetry import set_up_logs
from .protocol import VIEWS
from .rest import api
from .webhook import count_events

__all__ = ["create_app"]


class IdConverter(BaseConverter):
    """A project's id in an address; anything else is no address here."""

    regex = "[0-9]{1,18}"
    to_python = staticmethod(int)  # type: ignore[assignment]
    to_url = staticmethod(str)  # type: ignore[assignment]


@contextmanager
def _tamed_import() -> Iterator[None]:
    """Tame what label-studio-ml does when it is imported.

    It imports torch for one setting, which costs 200 MB and 4 s: torch is hidden meanwhile. And 2.x opens a database in
    MODEL_DIR or the working directory, which only its own views would use: it gets a folder that vanishes.
    """
    hidden = {} if "torch" in sys.modules else {"torch": None, "torch.multiprocessing": None}
    before = os.environ.get("MODEL_DIR")
    sys.modules.update(hidden)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MODEL_DIR"] = folder
        try:
            yield
        finally:
            for name in hidden:
                del sys.modules[name]
            if before is None:
                del os.environ["MODEL_DIR"]
            else:
                os.environ["MODEL_DIR"] = before


def create_app(deployment: Deployment | None = None, *, counting: bool = False) -> Flask:
    """Build the web app.

    Parameters
    ----------
    deployment : Deployment, optional
        Read from the environment when not given, as by a WSGI server, whose process is then ours to equip.
    counting : bool, default False
        Whether what this process counts is kept; so it is for a WSGI server.

    Returns
    -------
    Flask
        label-studio-ml keeps one app per process, so a second call re-equips the same object.
    """
    if deployment is None:
        set_up_logs(logging.WARNING, served=True)
        deployment, counting = Deployment.from_environment(), True
    with _tamed_import():
        from label_studio_ml.api import init_app
        from label_studio_ml.model import LabelStudioMLBase

    class LabelQueue(LabelStudioMLBase):  # type: ignore[misc]
        """Shell that label-studio-ml wants; the views below do the work."""

        def predict(self, tasks: list[dict[str, Any]], **kwargs: Any) -> list[dict[str, Any]]:
            return []

    one = "kwargs" in inspect.signature(init_app).parameters  # 1.0.9 wants a folder for models, which stays empty
    app: Flask = init_app(LabelQueue, **({"model_dir": tempfile.gettempdir()} if one else {}))
    app._got_first_request = False  # a second call may add rules again
    context = app.extensions[NAME] = Context(deployment, counting=counting)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    # Its own routes would answer too, and be named in `Allow`: /train, /metrics, POST /versions.
    app.url_map = Map(converters={**app.url_map.converters, "id": IdConverter}, merge_slashes=False)
    app.view_functions.clear()
    app.error_handler_spec.clear()
    app.blueprints.clear()
    for rule, (method, view) in VIEWS.items():
        app.add_url_rule(rule, rule, view, methods=[method])
    if deployment.metrics == "on":
        from .metrics import metrics

        app.add_url_rule("/metrics", "metrics", metrics, methods=["GET"])
    app.register_blueprint(api)
    app.register_blueprint(console)
    app.register_error_handler(LabelQueueError, known_error)
    app.register_error_handler(RedisError, lost_store)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(BadRequest, bad_request)
    guard(app, deployment, context.knows_secret)
    count_events(app)
    return app
