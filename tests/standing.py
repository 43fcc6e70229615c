"""What a look keeps for people of a project that has 60 labels: the facts that pages and `status` show."""

from __future__ import annotations


def measurement(labels, accuracy):
    shares = {"accuracy": accuracy, "balanced_accuracy": accuracy - 0.05, "chosen_accuracy": accuracy - 0.03}
    errors = {"accuracy_error": 0.04, "balanced_error": 0.05, "chosen_balanced": accuracy - 0.1, "unseen": 0.0}
    return {"labels": labels, "tasks": 300, **shares, **errors}


def standing(cat="cat", dog="dog"):
    """What a look keeps for people of a project with 60 labels."""
    overall = {"name": "all", "right": 34, "count": 40, "accuracy": 0.85, "interval": [0.709, 0.929]}
    steps = [{"labels": 40, "guessed": 0.7, "guesses": 20, "doubt": 0.3, "agreement": 0.9, "changed": 0.1}]
    hints = [{"name": "no change", "met": False, "told": "x"}]
    return {
        "learning": {
            "phase": "warm", "reason": "20 labels and a model", "waits_for": [], "cycle": None, "labels": 60,
            "labels_per_class": {cat: 40, dog: 20}, "trained_on": 57, "unlearned": 3, "retrain_every": 10,
            "trust": 0.8, "sub_pool": None, "model": "f00", "regularization": 1.0, "prelabels": True,
            "dropped_labels": {}, "without_label": {},
        },
        "accuracy": {
            "controls": 40, "overall": overall, "recent": overall, "present": None, "wanted": 10, "labels_wanted": 120,
            "classes": [], "models": [], "skipped": 0, "waiting": 0, "unpredicted": 0, "stalled": False, "lines": [],
        },
        "learning_curve": {
            "waits_for": "", "several": False, "hints": hints, "steps": steps,
            "measurements": [measurement(40, 0.75), measurement(60, 0.8)],
            "controls": [{"labels": 40, "right": 17, "count": 20}, {"labels": 50, "right": 17, "count": 20}],
        },
        "work": {
            "days": [["2026-11-27", 20, 1], ["2026-11-28", 40, 2]], "earlier": 0,
            "people": [[3, 50, 2, 24.4], [4, 10, 1, None]], "others": [0, 0],
        },
    }  # fmt: skip
