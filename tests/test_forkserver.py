"""Workers that are copies of a process that has loaded their libraries."""

import contextlib
import json
import os
import signal
import sys
import time

import psutil
import pytest

from napari_tem_rf.engine import Engine, forkserver
from napari_tem_rf.engine.forkserver import (
    UNKNOWN_CODE,
    ForkServer,
    borrow_server,
    give_server_back,
)
from napari_tem_rf.engine.local import LocalCluster, Process, ending_in_words, server_environment
from napari_tem_rf.engine.member import members_of

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("loaded"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux only"),
]


def where(*, report, stopped):
    """Return the process, its parent, its variables and folder, and the threads of torch."""
    torch = sys.modules["torch"]
    return os.getpid(), os.getppid(), dict(os.environ), os.getcwd(), torch.get_num_threads()


def test_workers_are_copies_with_their_own_variables_and_threads(monkeypatch, tmp_path):
    monkeypatch.setenv("TEM_RF_TEST_WORD", "of this engine")
    monkeypatch.chdir(tmp_path)
    with Engine() as engine:
        quick = engine.submit(where, kind="quick").result(60)
        training = engine.submit(where).result(60)
        server = engine._connection._local._server
        assert server is not None
        assert quick[1] == training[1] == server._process.pid
        for _, _, variables, folder, threads in (quick, training):
            assert variables["TEM_RF_TEST_WORD"] == "of this engine"
            assert variables["PYTHONSAFEPATH"] == "1"
            assert os.path.samefile(folder, tmp_path)
            assert str(threads) == variables["OMP_NUM_THREADS"]
        assert len({quick[0], training[0], os.getpid()}) == 3


def test_engines_share_the_process_and_the_last_one_ends_it(monkeypatch):
    # unlike what other tests hold
    monkeypatch.setenv("TORCH_TEST_WORD", "1")
    one = borrow_server(server_environment())
    other = borrow_server(server_environment())
    assert one is other
    monkeypatch.setenv("TORCH_TEST_WORD", "2")
    third = borrow_server(server_environment())
    assert third is not one
    give_server_back(third)
    give_server_back(other)
    assert one.alive
    process = psutil.Process(one._process.pid)
    give_server_back(one)
    assert not process.is_running()


@pytest.fixture
def scratch(tmp_path):
    """A folder that a scheduler takes for its own, which it is not."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "somebody's").touch()
    return folder


def begun(server, scratch):
    """Return a scheduler of a server, once there is one."""
    process = Process("scheduler", server_environment(), server)
    process.tell("00" * 32)
    process.tell(json.dumps(str(scratch)))
    while process.pid is None:
        assert process.alive
        time.sleep(0.01)
    return process


def test_an_end_is_told_with_its_signal(scratch):
    server = ForkServer(server_environment())
    process = begun(server, scratch)
    assert process.output.readline().startswith(b"keyed://")
    os.kill(process.pid, signal.SIGSEGV)
    process.wait()
    assert process.ending() == "it was ended by SIGSEGV"
    process.release()
    server.close()


def test_workers_outlive_the_process_and_their_end_is_noticed(scratch):
    server = ForkServer(server_environment())
    process = begun(server, scratch)
    server._process.kill()
    server._process.wait()
    assert process.alive
    assert not server.alive
    with pytest.raises(OSError, match="pipe"):
        server.start("quick", {}, (0, 1, 2))
    process.hang_up()
    process.wait()
    # only what an engine made for its processes is theirs to remove
    assert (scratch / "somebody's").exists()
    assert process.ending() == ending_in_words(UNKNOWN_CODE) == "it ended, and nobody saw how"
    process.release()
    server.close()


def test_an_end_is_noticed_while_the_process_is_stopped(scratch, monkeypatch):
    monkeypatch.setattr(forkserver, "PATIENCE_SECONDS", 0.2)
    server = ForkServer(server_environment())
    process = begun(server, scratch)
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        process.kill()
        process.wait()
        assert process.ending() == "it ended, and nobody saw how"
    finally:
        process.release()
        server.close()  # ends by force, stopped or not


def test_one_that_is_not_there_yet_can_be_killed():
    server = ForkServer(server_environment())
    process = Process("training-0", server_environment(), server)
    process.release()
    assert not process.alive
    # what was taken back does not start; the one asked for after it does
    other = Process("training-1", server_environment(), server)
    mine = []
    while not mine:
        assert other.alive
        time.sleep(0.01)
        mine = members_of(psutil.Process(server._process.pid).children())
    assert [role for role, _ in mine] == ["training-1"]
    other.release()
    server.close()


@pytest.mark.parametrize("fails", ["start", "later"])
def test_without_the_process_each_worker_loads_for_itself(monkeypatch, fails):
    def refuse(*arguments):
        raise OSError("no more processes")

    if fails == "start":
        monkeypatch.setattr(forkserver, "ForkServer", refuse)
        monkeypatch.setenv("TORCH_TEST_WORD", "3")
    else:
        monkeypatch.setattr(ForkServer, "start", refuse)
    with Engine(workers=1) as engine:
        _, parent, *_ = engine.submit(parent_of).result(100)
        assert parent == os.getpid()


def parent_of(*, report, stopped):
    return os.getpid(), os.getppid()


def test_a_copy_that_dies_at_once_is_followed_by_an_interpreter_of_its_own(monkeypatch):
    with Engine(workers=1) as engine:
        worker, parent = engine.submit(parent_of).result(60)
        assert parent != os.getpid()
        # as if it had just begun
        engine._connection._local.workers["training-0"].started = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        with contextlib.suppress(Exception):
            engine.submit(parent_of).result(60)
        assert engine.submit(parent_of).result(60)[1] == os.getpid()


def test_a_scheduler_that_is_killed_at_its_start_is_started_once_more(monkeypatch):
    start, killed = LocalCluster._start, []

    def start_and_kill(cluster, role):
        process = start(cluster, role)
        if role == "scheduler" and not killed:
            killed.append(process)
            process.kill()
        return process

    monkeypatch.setattr(LocalCluster, "_start", start_and_kill)
    with Engine(workers=1) as engine:
        # the second time nothing is copied: it may have been for that
        assert engine.submit(parent_of).result(100)[1] == os.getpid()
    assert len(killed) == 1


def test_the_process_ends_with_its_owner(scratch):
    """However the owner ends, its socket is closed."""
    server = ForkServer(server_environment())
    process = begun(server, scratch)
    both = [psutil.Process(process.pid), psutil.Process(server._process.pid)]
    server._channel.close()
    process.hang_up()
    server._process.wait(30)
    _, alive = psutil.wait_procs(both, timeout=20)
    assert alive == []
    server.close()
    process.release()
