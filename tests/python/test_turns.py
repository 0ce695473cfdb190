"""Sessions that share cores by name."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import qaic
from qaickit import util
from qaickit._turns import Turns, turns_of

WAIT = 120.0


class Member:
    """Takes turns, like a session."""


def test_runs_of_one_member_go_side_by_side() -> None:
    turns, member = Turns(), Member()
    together = threading.Barrier(3)

    def run() -> None:
        with turns.turn(member):
            together.wait(WAIT)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not together.broken


def test_runs_of_two_members_never_meet() -> None:
    turns, members = Turns(), (Member(), Member())
    inside: list[Member] = []
    met = []

    def run(member: Member) -> None:
        for _ in range(50):
            with turns.turn(member):
                inside.append(member)
                met.extend(other for other in list(inside) if other is not member)
                time.sleep(0)
                inside.remove(member)

    threads = [threading.Thread(target=run, args=(member,)) for member in members * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
    assert met == []


def test_nobody_waits_for_ever() -> None:
    """A member that is always running lets another in, since later runs queue up behind it."""
    turns, busy, other = Turns(), Member(), Member()
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            with turns.turn(busy):
                time.sleep(0.001)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    entered = threading.Event()

    def enter() -> None:
        with turns.turn(other):
            entered.set()

    guest = threading.Thread(target=enter)
    guest.start()
    assert entered.wait(WAIT)
    stop.set()
    for thread in (*threads, guest):
        thread.join(WAIT)


def test_the_least_recently_used_comes_first() -> None:
    turns, members = Turns(), [Member() for _ in range(3)]
    for index in (0, 1, 2, 0):
        with turns.turn(members[index]):
            pass
    assert turns.others(members[0]) == [members[1], members[2]]
    del members[1]
    gc.collect()
    assert turns.others(members[0]) == [members[1]]


def test_an_error_ends_the_turn() -> None:
    turns, one, other = Turns(), Member(), Member()
    with pytest.raises(RuntimeError), turns.turn(one):
        raise RuntimeError
    with turns.turn(other):
        pass


def test_sessions_of_a_name_answer_right_from_threads(linear_onnx: Path) -> None:
    sessions = [
        qaic.Session(
            linear_onnx, onnx_define_symbol={"batch": batch}, oversubscription_name="shared"
        )
        for batch in (1, 2)
    ]
    values = [np.ones((batch, 16), np.float32) for batch in (1, 2)]
    expected = [session.run({"x": x})["y"] for session, x in zip(sessions, values, strict=True)]
    assert turns_of("shared").others(sessions[1]) == [sessions[0]]
    wrong = []

    def run(at: int) -> None:
        for _ in range(30):
            if not np.array_equal(sessions[at].run({"x": values[at]})["y"], expected[at]):
                wrong.append(at)

    threads = [threading.Thread(target=run, args=(at,)) for at in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert wrong == []
    assert sessions[0].run_benchmark(num_inferences=3)[0] == 3
    for session in sessions:
        session.close()


SHARING = """
import sys
import numpy as np
import qaic
from qaickit import ResourceExhaustedError

def session(batch, name):
    return qaic.Session(sys.argv[1], backend="qaic", oversubscription_name=name, aic_num_cores=10,
                        onnx_define_symbol={"batch": batch})

x = [np.ones((batch, 16), np.float32) for batch in (1, 2)]
one, two = (session(batch, "group1") for batch in (1, 2))
first = one.run({"x": x[0]})["y"]
for _ in range(3):
    two.run({"x": x[1]})
    assert one.backend is None  # it gave its cores up
    assert (one.run({"x": x[0]})["y"] == first).all()
    assert two.backend is None
stranger = session(1, None)
try:
    stranger.setup()
except ResourceExhaustedError as error:
    assert "needs 10 NSPs" in str(error)
    assert one.backend == "qaic"
    print("done")
"""


def test_sessions_of_a_name_hand_a_cards_cores_over(linear_onnx: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARING, str(linear_onnx)],
        env={**os.environ, "QAIC_LIB": str(util.sim_path()), "QAICKIT_SIM_NSPS": "16"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_child_does_not_wait_for_turns_of_its_parents_threads(linear_onnx: Path) -> None:
    code = f"""
import os, threading
import numpy as np
import qaic
from qaickit._turns import turns_of

session = qaic.Session({str(linear_onnx)!r}, onnx_define_symbol={{"batch": 1}},
                       oversubscription_name="g")
x = {{"x": np.ones((1, 16), np.float32)}}
expected = session.run(x)["y"]
inside, leave = threading.Event(), threading.Event()

def hold():
    with turns_of("g").turn(object.__new__(type("Other", (), {{}}))):
        inside.set()
        leave.wait(20)

thread = threading.Thread(target=hold)
thread.start()
inside.wait(20)
child = os.fork()
if child == 0:
    session.reset()
    os._exit(0 if (session.run(x)["y"] == expected).all() else 1)
status = os.waitpid(child, 0)[1]
leave.set()
thread.join()
assert status == 0, status
"""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
