"""Machines of a test's own: network namespaces on a switch, each with a host name, a clock and a disk of its own.

Everything is inside namespaces but one end of a cable, so that Label Studio can call them and the test can look.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

NET = "10.213.77"
# What a machine does before it is a worker: its clock is wrong by so many seconds.
PROGRAM = (
    "import sys, time; real = time.time; time.time = lambda: real() + {skew}\n"
    "from labelqueue.cli import main\nsys.exit(main(sys.argv[1:]))"
)
WEB = (
    "import runpy, time; real = time.time; time.time = lambda: real() + {skew}\n"
    "runpy.run_module('labelqueue.web', run_name='__main__')"
)


class CannotError(Exception):
    """This computer gives no namespaces; why."""


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise CannotError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Machine:
    """One machine on the switch.

    Parameters
    ----------
    name : str
        Its host name.
    number : int
        Last part of its address.
    skew : float
        Seconds that its clock is ahead.
    folder : Path
        Where `disks` has a disk for each machine. A machine finds its own at `home`, and none of the others.
    """

    def __init__(self, name: str, number: int, skew: float, folder: Path) -> None:
        self.name, self.address, self.skew = name, f"{NET}.{number}", skew
        self._space, self._disks = f"lq{os.getpid()}-{name}", folder / "disks"
        self.disk, self.home = self._disks / name, folder / "home"
        self.disk.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    def plug_in(self, switch: str) -> None:
        """Make it, with a cable to the switch."""
        _ip("netns", "add", self._space)
        _ip("-n", self._space, "link", "set", "lo", "up")
        _ip("-n", self._space, "link", "add", "eth0", "type", "veth", "peer", "name", self.name, "netns", switch)
        _ip("-n", self._space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self._space, "link", "set", "eth0", "up")
        _ip("-n", switch, "link", "set", self.name, "master", "switch", "up")

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Pull its cable, and put it back."""
        _ip("-n", self._space, "link", "set", "eth0", "down")
        try:
            yield
        finally:
            _ip("-n", self._space, "link", "set", "eth0", "up")

    def run(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program on it."""
        prepare = (
            f"hostname {self.name} && mount --bind {self.disk} {self.home} && mount -t tmpfs none {self._disks} && "
            'exec "$@"'
        )
        inside = ["ip", "netns", "exec", self._space, "unshare", "--uts", "--mount", "sh", "-c", prepare, "sh"]
        with (self.disk / "log").open("ab") as log:
            process = subprocess.Popen(
                [*inside, *command], env={**os.environ, **environ}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def labelqueue(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a command of ours, with the wrong clock."""
        program = WEB if arguments == ("web",) else PROGRAM
        home = str(self.home)
        return self.run(
            sys.executable, "-c", program.format(skew=self.skew), *arguments, LABELQUEUE_HOME=home, **environ
        )

    @property
    def log(self) -> str:
        """What its programs said."""
        return (self.disk / "log").read_text(errors="replace")

    def scrap(self) -> None:
        """End its programs, and remove it."""
        for process in self.processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self._space], capture_output=True)


class Room:
    """The machines, and the switch that they are on."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.switch = f"lq{os.getpid()}-switch"
        self.machines: dict[str, Machine] = {}
        for name in ("home", "disks"):
            (folder / name).mkdir()

    def build(self) -> None:
        """Set the switch up, with a cable to this computer."""
        route = subprocess.run(["ip", "route", "show", "to", "match", f"{NET}.1"], capture_output=True, text=True)
        if any(not line.startswith("default") for line in route.stdout.splitlines()):
            raise CannotError(f"addresses {NET}.* are in use here")
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "switch", "up")
        cable = f"lq{os.getpid()}"
        _ip("link", "add", cable, "type", "veth", "peer", "name", "outside", "netns", self.switch)
        _ip("addr", "add", f"{NET}.1/24", "dev", cable)
        _ip("link", "set", cable, "up")
        _ip("-n", self.switch, "link", "set", "outside", "master", "switch", "up")

    def add(self, name: str, *, skew: float = 0.0) -> Machine:
        """Add a machine."""
        machine = Machine(name, 10 + len(self.machines), skew, self._folder)
        self.machines[name] = machine
        machine.plug_in(self.switch)
        return machine

    def let_in(self, port: int) -> None:
        """Let the machines reach what listens here on loopback, under this computer's address among them."""
        self._stack.enter_context(_relay(f"{NET}.1", port))

    def tear_down(self) -> None:
        """Remove all of it; the cable here goes with the switch."""
        self._stack.close()
        for machine in self.machines.values():
            machine.scrap()
        subprocess.run(["ip", "netns", "del", self.switch], capture_output=True)


@contextmanager
def room() -> Iterator[Room]:
    """Set up a room for machines.

    Raises
    ------
    CannotError
        Where there are no namespaces to be had.
    """
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        raise CannotError("`ip` and `unshare` are not installed")
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        made = Room(Path(folder))
        try:
            made.build()
            yield made
        finally:
            made.tear_down()


@contextmanager
def _relay(address: str, port: int) -> Iterator[None]:
    """Pass connections to an address on to the same port of loopback."""
    listener = socket.create_server((address, port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                try:
                    called = socket.create_connection(("127.0.0.1", port))
                except OSError:
                    caller.close()
                    continue
                for ends in ((caller, called), (called, caller)):
                    threading.Thread(target=_pour, args=ends, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
