"""Webhooks that are lost, doubled or late on their way from Label Studio, beside people who work."""

from __future__ import annotations

import random
import threading
from collections import Counter

from chaos.judge import Judge, Verdict
from chaos.people import People
from chaos.proxy import Answer, Call, Fault
from chaos.scene import Scene

TAKEN = Answer(201, {"Content-Type": "application/json"}, b'{"status": "accepted"}')


def webhooks(scene: Scene, *, rounds: int = 30) -> Verdict:
    """Let so many rounds of each kind happen; in a round people do two things."""
    project = scene.project("webhooks")
    people = People(scene, project)
    dice, late = random.Random(0), []
    told: Counter[str] = Counter()

    def hit(kind: str) -> Fault:
        """Only events are hit: `/setup` and the rest go through."""

        def fault(call: Call) -> Answer | None:
            if call.path != "/webhook":
                return call.forward()
            told[kind] += 1
            return ways[kind](call)

        return fault

    def double(call: Call) -> Answer:
        twin = threading.Thread(target=call.forward)  # at the same moment, as an impatient sender's
        twin.start()
        answer = call.forward()
        twin.join()
        return answer

    def delay(call: Call) -> Answer:
        timer = threading.Timer(dice.uniform(0.5, 10), call.forward)  # so they overtake each other
        timer.start()
        late.append(timer)
        return TAKEN

    ways: dict[str, Fault] = {"lost": lambda call: None, "doubled": double, "late": delay}
    with Judge(scene, project, "webhooks", [people]) as judge:
        for kind in ways:
            scene.hooks.begin(hit(kind))
            for _ in range(rounds):
                people.act()
                people.act()
            scene.hooks.end()
        for timer in late:
            timer.join()
        counts = ", ".join(f"{count} {kind}" for kind, count in told.items())
        judge.verdict.did = f"{rounds} rounds of each kind ({counts} webhooks)"
    return judge.verdict
