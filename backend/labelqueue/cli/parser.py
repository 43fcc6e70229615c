"""The command line: `labelqueue --help`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from .. import __version__
from ..exceptions import LabelQueueError
from ..telemetry import say, set_up_logs
from . import commands, curation

__all__ = ["build_parser", "main", "program"]

FAILED, INTERRUPTED = 1, 130
PATIENCE = 20.0  # seconds that an interrupted process may take to end
WORKER_KINDS = ("tending", "embedding")

DESCRIPTION = """\
Decide which image is labeled next: a Label Studio ML backend that orders the annotation queue."""

EPILOG = """\
first steps:
  labelqueue select photos/ -n 20             the 20 images to label first, no Label Studio needed
  export LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=...
  labelqueue serve                            then connect http://localhost:9090 in Settings > Model
  labelqueue doctor 1                         what is not as it should be, and the way out
  labelqueue order 1                          what the annotators of project 1 get next, and why

switches, each done by a running worker within seconds (the REST calls are in /api/v1/openapi.json):
  labelqueue set 1 strategy=random seed=4     change settings; `seed=` goes back to the default
  labelqueue pause 1                          give the queue back; `resume 1` takes it over again
  labelqueue rollback 1                       the order before the live one; `rollback 1 3` takes r3
  labelqueue retrain 1                        train and order now
  labelqueue pin 1 42 57                      these two are next; `exclude 1 42 --reason blurry` leaves one out
  labelqueue undo 1 3                         take act 3 back; `curation 1` lists acts, pins and exclusions

more images than anybody would import:
  labelqueue embed s3://bucket/photos -o vectors/    in parts, on many machines; then `select vectors/`
  labelqueue import 1 first.csv                      the chosen ones become tasks of project 1

keep what only labelqueue knows:
  labelqueue backup 1 animals.backup          settings, orders, what was learned, embeddings; while it runs
  labelqueue restore animals.backup           bring it back; into another project with --project ID
  labelqueue embeddings export 1 v.parquet    its vectors; `embeddings import` takes those of your own model

exit status: 0 done, 1 an error (its message is on standard error) or something that is wrong or differs, 2 wrong usage,
3 an order that cannot be verified or a check that could not look, 130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    from ..backup import command as backup
    from ..demo import command as demo
    from ..exchange import command as exchange
    from ..intake import command as intake
    from ..offline import embed, pretext, select
    from ..simulation import command as simulate

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("labelqueue", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"labelqueue {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done, on standard error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=summary, description=summary, formatter_class=raw)
        sub.set_defaults(run=run)
        return sub

    def of_project(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = command(name, run, summary)
        sub.add_argument("project", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar")
        return sub

    def json_output(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON")

    command("serve", commands.serve, "start web, workers and, without REDIS_URL, Redis; stop with Ctrl-C")
    workers = command("worker", commands.worker, "start more workers on the same Redis; stop them with Ctrl-C")
    workers.add_argument(
        "kind",
        nargs="?",
        choices=WORKER_KINDS,
        help="tending: one that reads labels, trains and orders; embedding: one that embeds images; default: one to "
        "tend and LABELQUEUE_WORKERS to embed, each started again when it ends or stalls",
    )
    stand = command("status", commands.status, "show where a project stands; without PROJECT, list those there are")
    stand.add_argument(
        "project", nargs="?", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar"
    )
    stand.add_argument(
        "--target",
        metavar="SHARE",
        help="say how many labels this accuracy needs, such as 0.95 (default: 0.9, or the next above what is reached)",
    )
    json_output(stand)
    check = command(
        "doctor", commands.doctor, "look at everything that has to be well, and say what is not and the way out"
    )
    check.add_argument("project", type=int, nargs="?", metavar="PROJECT", help="a project too (default: without)")
    check.add_argument(
        "--fix", action="store_true", help="repair what is safe to repair: webhook, queue, predictions, locks"
    )
    json_output(check)
    check.epilog = "exit status: 0 nothing is wrong, 1 something is, 2 wrong usage, 3 not everything could be looked at"
    order = of_project("order", commands.order, "show the tasks that come next, and why")
    order.add_argument("--limit", type=int, default=10, metavar="N", help="tasks to show (default: 10)")
    order.add_argument("--version", dest="of", metavar="ORDER", help="show all that is on record of this order instead")
    json_output(order)
    listed = of_project("orders", commands.orders, "list every order there was: when, why, and which one is live")
    listed.add_argument(
        "--verify",
        metavar="ORDER",
        help="compute this order again from its record instead, refills included, and compare: its number or version, "
        "or `latest`; exit status 0 the same, 1 it differs, 3 it cannot be verified",
    )
    json_output(listed)
    change = of_project(
        "set",
        commands.set_settings,
        "change settings of a project; without changes, show them and where they come from",
    )
    change.add_argument(
        "changes",
        nargs="*",
        type=commands.setting_change,
        metavar="KEY=VALUE",
        help="a value is JSON or text; `KEY=` goes back to the default; `labelqueue settings` lists the keys",
    )
    json_output(change)
    of_project(
        "pause", commands.switch("pause"), "stop publishing and give the queue back to Label Studio's former sampling"
    )
    of_project("resume", commands.switch("resume"), "end a pause, whatever caused it, and take the queue over again")
    back = of_project(
        "rollback", commands.switch("rollback"), "make an earlier order live again, as it was, and keep it"
    )
    back.add_argument(
        "order",
        nargs="?",
        metavar="ORDER",
        help="its number or version, as `labelqueue orders` lists them (default: the one before the live order)",
    )
    of_project("retrain", commands.switch("retrain"), "train the model and make a new order now")
    of_project(
        "reconcile", commands.switch("reconcile"), "read everything again from Label Studio and repair every difference"
    )
    for name, what in curation.COMMANDS.items():
        curation.add_arguments(name, of_project(name, curation.run(name), what))
    backup.add_backup_arguments(
        command("backup", backup.run_backup, "write all that is remembered of a project to a file")
    )
    backup.add_restore_arguments(command("restore", backup.run_restore, "bring back what a backup holds"))
    table = command("embeddings", exchange.run, "write embeddings to a Parquet file, or take those of your own model")
    exchange.add_arguments(table)
    gone = command("forget", commands.forget, "remove everything that is kept of a project here, files included")
    gone.add_argument("project", metavar="PROJECT", help="project id, or its key where several had the id")
    gone.add_argument("--yes", action="store_true", help="do not ask")
    json_output(command("settings", commands.settings, "list every setting, its default and where it is set"))
    choose = command("select", select.run, "choose the images of a folder to label first, without any Label Studio")
    select.add_arguments(choose)
    many = command("embed", embed.run, "embed the images of a folder, a bucket or a list, in parts, for `select`")
    embed.add_arguments(many)
    chosen = command("import", intake.run, "make tasks in Label Studio of the images that `select` chose, in order")
    intake.add_arguments(chosen)
    learn = command("pretext", pretext.run, "train the rotation features that BAL can use in place of the embeddings")
    pretext.add_arguments(learn)
    replay = command("simulate", simulate.run, "replay labeling on your own labeled images, strategy against strategy")
    simulate.add_arguments(replay)
    show = command("demo", demo.run, "start a Label Studio with images and an ordered queue")
    demo.add_arguments(show)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = build_parser().parse_args(argv)
    level = logging.INFO if arguments.verbose or arguments.command == "worker" else logging.WARNING
    try:
        set_up_logs(level)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except LabelQueueError as error:
        say(f"labelqueue: {error}", logging.ERROR)
        return FAILED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return commands.OK
    except KeyboardInterrupt:
        say("labelqueue: interrupted")
        return INTERRUPTED
    return status


def program() -> NoReturn:
    """Run this process's command, and end the process with its exit status."""
    status = main()
    if status == INTERRUPTED:
        # Everything is cleaned up. What is left is Python's own end, at which a pool whose processes were killed was
        # seen to wait for ever.
        end = threading.Timer(PATIENCE, os._exit, (status,))
        end.daemon = True
        end.start()
    sys.exit(status)
