"""Every setting in one table: it is the validation, the README table and `labelqueue settings`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import allowed
from .allowed import Setting
from .exceptions import SettingError

__all__ = [
    "DEPLOYMENT",
    "PROJECT",
    "SETTINGS",
    "Deployment",
    "Setting",
    "parse_project_settings",
]

COLD_START = ("freesel", "maxherding", "probcover", "clustering", "typiclust", "kcenter", "random")
WARM = ("bal", "uherding", "dropquery", "badge", "bait", "margin", "least_confidence", "entropy", "random", "bal_paper")
METRICS = ("centered", "cosine", "euclidean")  # poolselect's names
UNCERTAINTY = ("coverage", "margin", "least_confidence", "entropy")


def _default_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "labelqueue"


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "strategy",
        "auto",
        "project",
        allowed.strategy("auto", *dict.fromkeys(COLD_START + WARM)),
        "auto: the cold start, then the warm strategy after `switch_after` labels; or one strategy throughout",
    ),
    Setting(
        "cold_start",
        "freesel",
        "project",
        allowed.strategy(*COLD_START),
        f"strategy of the first labels: {', '.join(COLD_START)}",
    ),
    Setting(
        "warm",
        "bal",
        "project",
        allowed.strategy(*WARM),
        f"strategy afterwards: {', '.join(WARM)} (bal_paper is the paper's Algorithm 1, and needs a budget)",
    ),
    Setting(
        "budget",
        None,
        "project",
        allowed.optional(allowed.number(int, 10, 10_000_000)),
        "labels you will pay for in total, if you know it; auto: unknown, BAL goes through its sub-pools in a circle",
    ),
    Setting(
        "batch_size",
        None,
        "project",
        allowed.optional(allowed.number(int, 1, 10_000)),
        "labels per BAL cycle; auto: a twentieth of the labels so far (bal_paper: of the budget), at least 10",
    ),
    Setting(
        "retrain_every",
        None,
        "project",
        allowed.optional(allowed.number(int, 1, 10_000)),
        "new labels after which the model is trained again; auto: a twentieth of the labels so far, at least 10 "
        "(bal_paper: a cycle)",
    ),
    Setting("switch_after", 20, "project", allowed.number(int, 2, 1_000_000), "labels that the cold start lasts"),
    Setting(
        "balancing_factor",
        None,
        "project",
        allowed.optional(allowed.number(float, 0, 1_000, low_open=True)),
        "width of BAL's sub-pools in slots; auto: grows with the trust in the model, from half the pool with coverage "
        "(bal_paper: 1)",
    ),
    Setting(
        "uncertainty",
        "coverage",
        "project",
        allowed.choice(*UNCERTAINTY),
        "what BAL takes: coverage (what would teach most where there is doubt), or the most doubtful by margin, "
        "least_confidence (the paper's) or entropy; with bal_features=rotation, coverage is margin",
    ),
    Setting(
        "bal_features",
        "vit",
        "project",
        allowed.choice("vit", "rotation"),
        "vectors that BAL clusters: vit, or rotation (the paper's; made by `labelqueue pretext PROJECT`)",
    ),
    Setting(
        "control_share",
        0.05,
        "project",
        allowed.number(float, 0, 0.5),
        "share of the queue drawn at random, on which the model's accuracy is measured",
    ),
    Setting(
        "duplicates", "last", "project", allowed.choice("last", "serve"), "near-duplicates go last, or serve all alike"
    ),
    Setting(
        "balance",
        "",
        "project",
        allowed.text,
        "field of the task's data, such as site: its values get their shares of it",
    ),
    Setting(
        "control_share_start",
        None,
        "project",
        allowed.optional(allowed.number(float, 0, 0.5)),
        "that share for the first hundred labels, where an interval is wanted sooner; the larger of the two is the "
        "share of tasks that never get a pre-label; auto: as control_share",
    ),
    Setting(
        "prelabel",
        "auto",
        "project",
        allowed.prelabel,
        "pre-labels: auto (once the model is trusted), on, off, or the least probability that a pre-label needs",
    ),
    Setting(
        "trials",
        200,
        "project",
        allowed.number(int, 1, 10_000),
        "proposals per pick of FreeSel, the best is kept; 1, with metric=cosine, draws as the paper does",
    ),
    Setting(
        "metric",
        "centered",
        "project",
        allowed.choice(*METRICS),
        "distance of FreeSel and of BAL's coverage: centered (cosine once the pool's mean is taken off), cosine (the "
        "paper's), euclidean",
    ),
    Setting(
        "horizon",
        None,
        "project",
        allowed.optional(allowed.number(int, 10, 5_000)),
        "tasks in the head of the published order, with twice as many as a spare tail; auto: what a cycle, the "
        "annotators at work and ten minutes without us need",
    ),
    Setting(
        "n_patterns",
        None,
        "project",
        allowed.optional(allowed.number(int, 1, 50)),
        "semantic patterns per image; auto: 1 classification, 5 detection, 10 segmentation",
    ),
    Setting(
        "attention_ratio",
        0.5,
        "project",
        allowed.number(float, 0, 1, low_open=True),
        "share of attention whose patches form the patterns",
    ),
    Setting(
        "neighbourhood",
        2,
        "project",
        allowed.number(int, 1, 50),
        "patches further apart than this many rows or columns are not linked",
    ),
    Setting(
        "embedder",
        "",
        "project",
        allowed.embedder,
        "model that embeds the images, as in LABELQUEUE_EMBEDDER, or `imported NAME`; empty: the one that embedded "
        "them so far, of a new project LABELQUEUE_EMBEDDER",
    ),
    Setting("seed", 0, "project", allowed.seed, "any whole number; another seed, another equally good order"),
    Setting(
        "target", "", "project", allowed.text, "name of the control tag that counts; empty: the first on the image"
    ),
    Setting(
        "label_map",
        {},
        "project",
        allowed.label_map,
        'labels that are called otherwise now: {"car": "vehicle"} reads what annotations call car as vehicle',
    ),
    Setting(
        "LABEL_STUDIO_URL",
        "http://localhost:8080",
        "deployment",
        allowed.origin,
        "where Label Studio answers us, with its sub-path; the key goes nowhere else",
    ),
    Setting(
        "LABEL_STUDIO_HOST",
        "",
        "deployment",
        allowed.public_name,
        "how Label Studio names itself, the same as in its own environment; empty: it is asked",
    ),
    Setting(
        "LABEL_STUDIO_ALIASES",
        "",
        "deployment",
        allowed.server_names,
        "comma-separated further names of this Label Studio in the addresses of images, such as "
        "https://labels.example.com/label",
    ),
    Setting(
        "LABEL_STUDIO_API_KEY", "", "deployment", allowed.text, "personal or legacy access token of a Label Studio user"
    ),
    Setting(
        "REDIS_URL",
        None,
        "deployment",
        allowed.optional(allowed.redis_url),
        "external Redis (policy noeviction); empty: an embedded redis-server in LABELQUEUE_HOME",
    ),
    Setting(
        "BASIC_AUTH_USER", "", "deployment", allowed.text, "user that Label Studio must send; empty: loopback only"
    ),
    Setting("BASIC_AUTH_PASS", "", "deployment", allowed.text, "password that Label Studio must send"),
    Setting(
        "LABELQUEUE_HOME",
        None,
        "deployment",
        allowed.optional(allowed.path),
        "data directory; empty: labelqueue in the user's data folder",
    ),
    Setting(
        "LABELQUEUE_EMBEDDER",
        "vit_small_patch14_reg4_dinov2.lvd142m",
        "deployment",
        allowed.model,
        "model of new projects: a timm name (the paper's is vit_small_patch16_224.dino), or `bundled` for the small "
        "checkpoint in the package; other projects keep theirs, see `embedder`",
    ),
    Setting(
        "LABELQUEUE_IMAGE_SIZE",
        None,
        "deployment",
        allowed.optional(allowed.number(int, 16, 2_048)),
        "side in pixels that images of new projects are squashed to for LABELQUEUE_EMBEDDER, a multiple of its "
        "patches; auto: 224, or the model's own where that is smaller",
    ),
    Setting(
        "LABELQUEUE_WEIGHTS",
        None,
        "deployment",
        allowed.optional(allowed.path),
        "safetensors file with the weights of LABELQUEUE_EMBEDDER, or a folder with NAME.safetensors for each model; "
        "empty: timm's hub",
    ),
    Setting(
        "LABELQUEUE_ALLOW_HOSTS",
        "",
        "deployment",
        allowed.hosts,
        "comma-separated hosts on private addresses that images may be fetched from, such as minio:9000",
    ),
    Setting(
        "LABELQUEUE_CA_BUNDLE",
        None,
        "deployment",
        allowed.optional(allowed.path),
        "file or folder (PEM) of the certificate authorities to trust, for Label Studio and images; empty: "
        "REQUESTS_CA_BUNDLE, then SSL_CERT_FILE, then the public ones",
    ),
    Setting(
        "LABELQUEUE_WORKERS",
        1,
        "deployment",
        allowed.number(int, 1, 64),
        "embedding workers that `serve` and `worker` start beside the tending one",
    ),
    Setting(
        "LABELQUEUE_LOG",
        "text",
        "deployment",
        allowed.choice("text", "json"),
        "how the log is written to standard error: text, or json, one object a line",
    ),
    Setting(
        "LABELQUEUE_METRICS",
        "off",
        "deployment",
        allowed.choice("off", "on"),
        "on: the web process answers /metrics to Prometheus, to whom REST is open",
    ),
    Setting(
        "LABELQUEUE_PUBLIC_URL",
        "",
        "deployment",
        allowed.public_url,
        "where people's browsers reach the console, such as https://queue.example.com; empty: http://HOST:PORT",
    ),
    Setting(
        "LABELQUEUE_THUMBNAILS",
        256,
        "deployment",
        allowed.number(int, 0, 100_000),
        "megabytes of Redis for the console's thumbnails, the oldest give way; 0: none are kept",
    ),
    Setting("HOST", "127.0.0.1", "deployment", allowed.text, "address the web process listens on"),
    Setting("PORT", 9090, "deployment", allowed.number(int, 1, 65_535), "port the web process listens on"),
)

PROJECT: Mapping[str, Setting] = {s.name: s for s in SETTINGS if s.scope == "project"}
DEPLOYMENT: Mapping[str, Setting] = {s.name: s for s in SETTINGS if s.scope == "deployment"}


def parse_project_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Validate project settings.

    Parameters
    ----------
    raw : mapping
        Key to JSON value, as found in the Model page's extra params or a REST body.

    Returns
    -------
    dict
        Key to parsed value, only the keys of `raw`.

    Raises
    ------
    SettingError
        On the first unknown key or value that is not allowed.
    """
    unknown = sorted(set(raw) - set(PROJECT))
    if unknown:
        raise SettingError(f"unknown setting {allowed.brief(unknown[0])}; known are {', '.join(PROJECT)}")
    return {key: PROJECT[key].value(value) for key, value in raw.items()}


@dataclass(frozen=True)
class Deployment:
    """Deployment settings of one process, read from the environment once.

    Attributes carry the table's names in lower case without the LABELQUEUE_ prefix.
    """

    label_studio_url: str
    label_studio_host: str
    label_studio_aliases: tuple[str, ...]
    label_studio_api_key: str
    redis_url: str | None
    basic_auth_user: str
    basic_auth_pass: str
    home: Path
    embedder: str
    image_size: int | None
    weights: Path | None
    allow_hosts: tuple[str, ...]
    ca_bundle: Path | None
    workers: int
    log: str
    metrics: str
    public_url: str
    thumbnails: int
    host: str
    port: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Deployment:
        """Read and validate the deployment settings.

        Parameters
        ----------
        environ : mapping, default os.environ
            Environment variables.

        Raises
        ------
        SettingError
            When a value is not allowed, or only one half of the basic-auth pair is set.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {
            setting.name.removeprefix("LABELQUEUE_").lower(): setting.value(environ.get(setting.name, setting.default))
            if setting.name in environ or setting.default is not None
            else None
            for setting in DEPLOYMENT.values()
        }
        values["home"] = values["home"] or _default_home()
        values["public_url"] = values["public_url"] or allowed.reached_at(values["host"], values["port"])
        if bool(values["basic_auth_user"]) != bool(values["basic_auth_pass"]):
            raise SettingError("BASIC_AUTH_USER and BASIC_AUTH_PASS belong together: set both, or neither")
        return cls(**values)
