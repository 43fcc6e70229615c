"""The web app: label-studio-ml's Flask app with our views in it, on 1.0.9 and on 2.x."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest, HTTPException

from ..exceptions import LabelQueueError
from ..settings import Deployment
from .access import guard
from .context import NAME, Context
from .errors import bad_request, gone, http_error, known_error, lost_store
from .protocol import VIEWS
from .rest import api

__all__ = ["create_app"]

MAX_BODY = 64 * 1024 * 1024  # bytes; 5,000 new tasks are 2.6 MB


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


def create_app(deployment: Deployment | None = None) -> Flask:
    """Build the web app.

    Parameters
    ----------
    deployment : Deployment, optional
        Read from the environment when not given.

    Returns
    -------
    Flask
        label-studio-ml keeps one app per process, so a second call re-equips the same object.
    """
    deployment = deployment or Deployment.from_environment()
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
    app.extensions[NAME] = Context(deployment)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    rules = {rule.endpoint for rule in app.url_map.iter_rules()}
    for endpoint, (rule, methods, view) in VIEWS.items():
        if endpoint not in rules:
            app.add_url_rule(rule, endpoint, view, methods=list(methods))
        app.view_functions[endpoint] = view
    for endpoint in rules - set(VIEWS):
        if not endpoint.startswith(f"{api.name}."):
            app.view_functions[endpoint] = gone
    if api.name not in app.blueprints:
        app.register_blueprint(api)
    app.register_error_handler(LabelQueueError, known_error)
    app.register_error_handler(RedisError, lost_store)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(BadRequest, bad_request)
    guard(app, deployment)
    return app
