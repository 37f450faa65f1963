"""The engine: real processes, real faults."""

import asyncio
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Client
from distributed.comm.core import connect
from distributed.protocol.serialize import Serialize, Serialized
from distributed.security import Security

import napari_tem_rf
from napari_tem_rf.engine import (
    Ended,
    Engine,
    EngineError,
    EngineUnavailableError,
    InlineEngine,
    Job,
    JobCancelledError,
    Said,
    Task,
    run_all,
)
from napari_tem_rf.engine.keyed import KeyedSecurity
from napari_tem_rf.engine.member import members_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("loaded")]

POSIX = os.name == "posix"
SOURCE = Path(napari_tem_rf.__file__).parent.parent


# jobs: the workers import this module by name


def add(a, b, *, report, stopped):
    return a + b


def count(numbers, seconds, *, report, stopped):
    """Report 0, 1, 2, ... and sleep after each, until stopped; return how far it came."""
    for number in range(numbers):
        report(number)
        if stopped():
            return number
        time.sleep(seconds)
    return numbers


def ask_often(asks, *, report, stopped):
    started = time.perf_counter()
    for _ in range(asks):
        stopped()
    return (time.perf_counter() - started) / asks


def size(image, *, report, stopped):
    return image.size


def be_wrong(*, report, stopped):
    raise ValueError('labels "gold" are 512 x 500 but the image is 512 x 512: redraw them')


def have_a_bug(*, report, stopped):
    return {}["missing"]


def fill_the_disk(*, report, stopped):
    raise OSError(28, "No space left on device", "/runs/gold/weights.safetensors")


def leave(*, report, stopped):
    sys.exit(3)


def process_id(*, report, stopped):
    return os.getpid()


def sleep(seconds, *, report, stopped):
    """Sleep without ever asking whether to stop."""
    report(os.getpid())
    time.sleep(seconds)
    return seconds


def die(*, report, stopped):
    report("going")
    os.kill(os.getpid(), signal.SIGKILL)


def double(array, *, report, stopped):
    report(array[:1000])
    array *= 2  # arguments arrive writable
    return array


def large_reports(number, *, report, stopped):
    for _ in range(number):
        report(np.zeros(1_000_003, np.uint8))


def left_behind(dask_scheduler):
    """Return the tasks that a scheduler holds and how many bytes of reports it keeps."""
    events = dask_scheduler.get_events()
    messages = [message for kept in events.values() for _, message in kept]
    reports = [m["report"] for m in messages if isinstance(m, dict) and "report" in m]
    return [*dask_scheduler.tasks], sum(map(len, reports))


def give_a_lock(*, report, stopped):
    return threading.Lock()


def environment(*, report, stopped):
    return dict(os.environ), os.nice(0)


def write_number(path, seconds, *, report, stopped):
    """Write to `path` how often it has asked, until stopped; then write that."""
    asked = 0
    while not stopped():
        asked += 1
        path.write_text(str(asked))
        time.sleep(seconds)
    path.write_text("stopped")


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def children():
    """Return the processes of engines that this process started."""
    return [process for _, process in members()]


def members():
    return members_of(psutil.Process().children(recursive=True))


@pytest.fixture(scope="module")
def engine(loaded):
    with Engine() as engine:
        yield engine
    assert children() == []


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    monkeypatch.delenv("TEM_RF_SCHEDULER", raising=False)


def test_submit_and_start_do_not_wait(engine):
    started = time.perf_counter()
    engine.start()
    job = engine.submit(add, 2, 3)
    assert time.perf_counter() - started < 0.5  # the start of the processes takes seconds
    assert job.state == "waiting"
    assert job.result(60) == 5
    assert job.state == "done"


def test_reports_come_in_order_and_before_the_result(engine):
    seen = []
    job = engine.submit(
        count, 200, 0, on_report=seen.append, on_done=lambda value: seen.append(("done", value))
    )
    job.result(60)
    wait_for(lambda: len(seen) == 201)
    assert seen == [*range(200), ("done", 200)]


def test_states_are_told(engine):
    states = []
    engine.submit(add, 1, 1, on_state=states.append).result(60)
    wait_for(lambda: len(states) == 2)
    assert states == ["running", "done"]


def test_stop_ends_a_job_within_a_batch_with_its_result(engine):
    seen = []
    job = engine.submit(count, 10_000, 0.02, on_report=seen.append)
    wait_for(lambda: len(seen) >= 3)
    started = time.perf_counter()
    job.stop()
    reached = job.result(10)
    assert time.perf_counter() - started < 1
    assert job.state == "done"
    assert 2 <= reached < 500


def test_asking_whether_to_stop_costs_next_to_nothing(engine):
    assert engine.submit(ask_often, 100_000).result(60) < 20e-6


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (be_wrong, 'labels "gold" are 512 x 500 but the image is 512 x 512: redraw them'),
        (have_a_bug, "gold failed unexpectedly (KeyError: 'missing')"),
        (
            fill_the_disk,
            "gold failed, no space left on device (/runs/gold/weights.safetensors): see to it "
            "and try again",
        ),
        (leave, "gold failed unexpectedly (SystemExit: 3)"),
    ],
)
def test_a_failure_is_a_sentence_and_a_traceback(engine, function, sentence):
    failures = []
    job = engine.submit(function, name="gold", on_failed=failures.append)
    with pytest.raises(EngineError) as caught:
        job.result(60)
    assert caught.value.sentence == sentence
    assert f"in {function.__name__}" in caught.value.details
    wait_for(lambda: failures == [caught.value])
    assert job.state == "failed"


def test_what_cannot_be_pickled_is_a_sentence(engine):
    with pytest.raises(EngineError, match=r"masks cannot be sent to a worker .*thread\.lock"):
        engine.submit(add, threading.Lock(), 1, name="masks").result(60)
    with pytest.raises(EngineError, match="the result of masks cannot leave its worker"):
        engine.submit(give_a_lock, name="masks").result(60)
    assert engine.submit(add, 1, 1).result(60) == 2


def test_a_raising_callback_harms_nobody(engine, caplog):
    def raising(_):
        raise RuntimeError("a bug in the window")

    job = engine.submit(count, 2, 0, on_report=raising, on_done=raising)
    assert job.result(60) == 2
    assert engine.submit(add, 1, 1).result(60) == 2
    wait_for(lambda: caplog.text.count("RuntimeError: a bug in the window") == 3)


def test_large_arrays_travel_without_warnings(engine):
    # 64 MB; warnings are errors here, also in the engine's thread
    image = np.random.default_rng(752).random((4099, 4093), np.float32)
    reports = []
    doubled = engine.submit(double, image, on_report=reports.append).result(60)
    np.testing.assert_array_equal(doubled, image * 2)
    np.testing.assert_array_equal(reports[0], image[:1000])


def test_small_arrays_arrive_writable(engine):
    tiny = np.arange(35, dtype=np.float32).reshape(5, 7)
    np.testing.assert_array_equal(engine.submit(double, tiny).result(60), tiny * 2)
    assert tiny[4, 6] == 34


def test_quick_jobs_do_not_wait_for_a_training(engine):
    training = engine.submit(count, 10_000, 0.01)
    wait_for(lambda: training.state == "running")
    times = []
    for _ in range(20):
        started = time.perf_counter()
        engine.submit(add, 1, 1, kind="quick").result(60)
        times.append(time.perf_counter() - started)
    assert training.state == "running"
    assert np.median(times) < 0.5
    training.stop()
    training.result(10)


def test_a_second_training_waits_its_turn(engine):
    first = engine.submit(count, 10_000, 0.01)
    second = engine.submit(count, 10_000, 0.01)
    third = engine.submit(add, 1, 1)
    wait_for(lambda: first.state == "running")
    assert engine.submit(add, 1, 1, kind="quick").result(60) == 2
    assert [second.state, third.state] == ["waiting", "waiting"]
    first.stop()
    wait_for(lambda: second.state == "running")
    assert third.state == "waiting"
    second.stop()
    assert third.result(10) == 2


def test_stopping_a_waiting_training_ends_it(engine):
    first = engine.submit(count, 10_000, 0.01)
    wait_for(lambda: first.state == "running")
    failures = []
    second = engine.submit(count, 10_000, 0.01, name="gold", on_failed=failures.append)
    second.stop()
    assert second.state == "cancelled"
    assert [str(failure) for failure in failures] == [
        "gold was stopped before it began: there is no result"
    ]
    first.stop()
    first.result(10)


def test_a_cancelled_job_is_silent(engine):
    told = []
    running = engine.submit(
        count, 10_000, 0.01, kind="quick", on_done=told.append, on_failed=told.append
    )
    wait_for(lambda: running.state == "running")
    waiting = engine.submit(
        count, 10_000, 0.01, kind="quick", on_done=told.append, on_failed=told.append
    )
    running.cancel()
    waiting.cancel()
    # the place of the running one becomes free because it was asked to stop too
    assert engine.submit(add, 1, 1, kind="quick").result(10) == 2
    assert told == []
    with pytest.raises(JobCancelledError):
        running.result(0)


def results(events):
    """Return the results of jobs as they come, by key."""
    return {event.key: event.job.result(0) for event in events if isinstance(event, Ended)}


def test_results_of_many_jobs_come_as_they_are_ready(engine):
    taken = []

    def tasks():
        for number in range(7):
            taken.append(number)
            yield Task(number, add, (number, 10), f"image {number}")

    found = {}
    for event in run_all(engine, tasks()):
        found[event.key] = event.job.result(0)
        # read as places become free: not all images at once
        assert len(taken) <= len(found) + engine.width + 1
    assert found == {number: number + 10 for number in range(7)}


def test_jobs_that_nobody_iterates_over_any_more_are_cancelled(engine):
    jobs = run_all(
        engine, [Task(i, count, (numbers, 0.01)) for i, numbers in enumerate((1, 10_000, 10_000))]
    )
    assert [next(jobs).report, next(jobs).job.result(0)] == [0, 1]
    jobs.close()
    assert engine.submit(add, 1, 1).result(10) == 2


def test_of_many_jobs_reports_come_before_the_end_and_a_failure_stops_nobody(engine):
    tasks = [Task("a", count, (3, 0)), Task("b", be_wrong), Task("c", count, (2, 0))]
    events = list(run_all(engine, tasks))
    said = {key: [e.report for e in events if isinstance(e, Said) and e.key == key] for key in "ac"}
    assert said == {"a": [0, 1, 2], "c": [0, 1]}
    for key, number in (("a", 3), ("c", 2)):
        last = [event for event in events if event.key == key][-1]
        assert last.job.result(0) == number
    (failed,) = (event for event in events if event.key == "b")
    with pytest.raises(EngineError, match="redraw them"):
        failed.job.result(0)


@pytest.mark.parametrize(("on_stop", "has_result"), [(Job.stop, True), (Job.cancel, False)])
def test_many_jobs_hear_a_stop(engine, on_stop, has_result):
    """What runs gives what it has, or is let go; what waits has no result; no more is taken."""
    taken, stop = [], threading.Event()

    def tasks():
        for number in range(100):
            taken.append(number)
            yield Task(number, count, (10_000, 0.01))

    ended = {}
    for event in run_all(engine, tasks(), stopped=stop.is_set, on_stop=on_stop):
        if isinstance(event, Said):
            stop.set()
        else:
            ended[event.key] = event.job
    assert sorted(ended) == taken == list(range(engine.width + 1))
    with_result = [key for key, job in ended.items() if job.state == "done"]
    assert with_result == ([0] if has_result else [])
    assert engine.submit(add, 1, 1).result(10) == 2


@pytest.mark.skipif(not POSIX, reason="there is no niceness")
def test_workers_share_the_cores(engine):
    from dask.system import CPU_COUNT

    training, nice = engine.submit(environment).result(60)
    quick, _ = engine.submit(environment, kind="quick").result(60)
    if "OMP_NUM_THREADS" not in os.environ:
        assert training["OMP_NUM_THREADS"] == str(CPU_COUNT)
        assert quick["OMP_NUM_THREADS"] == str(max(1, CPU_COUNT // 2))
    assert nice > os.nice(0)


def listening():
    """Return the ports on which the processes of engines listen."""
    return [
        connection.laddr
        for process in children()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]


def test_nothing_is_reachable_from_outside(engine):
    engine.submit(add, 1, 1).result(60)
    assert len(listening()) == 3
    assert {address.ip for address in listening()} == {"127.0.0.1"}


HUNG_UP = "Timed out|in <Keyed|closed|does not know the key"


async def call(address, security, **question):
    """Ask a process of Dask something, as its clients do."""
    connection = await connect(address, timeout=2, **security.get_connection_args("client"))
    try:
        await connection.write(question)
        return await connection.read()
    finally:
        await connection.close()


def test_nobody_without_the_key_of_an_engine_gets_in(engine):
    """Not into the scheduler and not into a worker: not as Dask does it, not with another key."""
    engine.submit(add, 1, 1).result(60)
    local = engine._connection._local
    identify = {"op": "identity", "reply": True}
    for laddr in listening():
        ours, plain = f"keyed://127.0.0.1:{laddr.port}", f"tcp://127.0.0.1:{laddr.port}"
        with pytest.raises(OSError, match=HUNG_UP):
            asyncio.run(call(plain, Security(), **identify))
        with pytest.raises(OSError, match=HUNG_UP):
            asyncio.run(call(ours, KeyedSecurity(bytes(32)), **identify))
        with pytest.raises(TypeError, match="for the engine that has the key"):
            asyncio.run(call(ours, Security(), **identify))
    with pytest.raises(OSError, match=HUNG_UP), Client(plain, set_as_default=False, timeout=1):
        pass
    answer = asyncio.run(call(local.address, KeyedSecurity(local.key), **identify))
    assert answer["type"] == "Scheduler"
    # who only hangs about is hung up on and holds up nobody
    with contextlib.closing(socket.create_connection(("127.0.0.1", laddr.port))) as idle:
        idle.sendall(b"napari-tem-rf 1\n" + bytes(32))
        assert len(idle.recv(1000)) == 32
        idle.sendall(bytes(32))
        assert idle.recv(1000) == b""
    assert engine.submit(add, 1, 1).result(60) == 2


def test_the_key_stands_where_nobody_else_can_read_it(engine):
    engine.submit(add, 1, 1).result(60)
    key = engine._connection._local.key
    assert len(key) == 32
    for process in children():
        for text in (*process.cmdline(), *process.environ().values()):
            assert key.hex() not in text
    assert key.hex() not in repr(KeyedSecurity(key)) + engine.describe()
    with Engine() as other:
        other.submit(add, 1, 1).result(60)
        assert other._connection._local.key != key


def pass_on(listener, port, seen):
    """Be between a client and the process that listens at a port, once."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as process:
        other = {client: process, process: client}
        while True:
            for each in select.select(list(other), [], [], 30)[0]:
                data = each.recv(1000)
                if not data:
                    return
                seen.append(len(data))
                other[each].sendall(data)


def test_the_port_of_a_process_that_ended_is_of_no_use(engine):
    """Whoever took it passes on what a client and another process say: both hang up."""
    engine.submit(add, 1, 1).result(60)
    local = engine._connection._local
    port = int(local.address.rpartition(":")[2])
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        between = threading.Thread(target=pass_on, args=(listener, port, seen))
        between.start()
        taken = f"keyed://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError, match=HUNG_UP):
            asyncio.run(call(taken, KeyedSecurity(local.key), op="identity", reply=True))
        between.join(30)
    # greeting and nonce, the other's nonce, the client's proof; and no proof comes back
    assert seen == [48, 32, 32]


def test_a_scratch_folder_that_somebody_else_made_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    names = ["dask-scratch-space", f"dask-scratch-space-{os.getuid()}"] if POSIX else []
    for name in names:
        (tmp_path / name).write_text("somebody else's")
    with Engine(workers=1) as engine:
        assert engine.submit(add, 1, 1).result(60) == 2
        (own,) = tmp_path.glob("napari-tem-rf-engine-*")
        if POSIX:
            assert own.stat().st_mode & 0o777 == 0o700
    left = {path.name for path in tmp_path.iterdir()}
    # PyTorch makes a folder for its compiler where it is loaded
    assert sorted(name for name in left if not name.startswith("torchinductor")) == names


LIBRARIES = (
    "json dask distributed numpy torch pickle typing asyncio sitecustomize cloudpickle msgpack"
)

SURPRISE = """
from pathlib import Path
with Path(__file__).with_name("executed").open("a") as file:
    file.write(__name__ + "\\n")
raise ImportError("from the current folder")
"""

IN_A_FOLDER = """
import os, sys, time
if __name__ == "__main__":
    import distributed
    from napari_tem_rf.engine import Engine
    sys.path[:0] = sys.argv[1:]  # as in a notebook
    with Engine(workers=1) as engine:
        def work(*, report, stopped):
            import multiprocessing, sys
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                numbers = pool.map(abs, [-1])
            return numbers, os.getcwd()
        assert engine.submit(work).result(60) == ([1], os.getcwd())
        while engine.state == "starting":
            time.sleep(0.01)
        assert engine.trouble == "", engine.trouble
"""


@pytest.mark.parametrize("path", [None, ""])
def test_no_file_of_the_current_folder_is_run(tmp_path, path):
    """Images from somebody else may lie there, and a json.py beside them."""
    for name in LIBRARIES.split():
        (tmp_path / f"{name}.py").write_text(SURPRISE)
    command = [sys.executable, "-P", "-c", IN_A_FOLDER]
    command += [] if path is None else [path]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=110, capture_output=True, text=True
    )
    executed = tmp_path / "executed"
    assert not executed.exists(), executed.read_text()
    assert done.returncode == 0, done.stderr


def test_the_owner_keeps_no_messages_of_jobs_that_are_over(engine):
    """Each holds the image that was sent; Dask's client would keep the last thousand."""
    image = np.zeros(100_003, np.uint8)
    for _ in range(30):
        engine.submit(size, image, kind="quick").result(60)
    wait_for(lambda: not engine._connection._tasks)
    gc.collect()
    kept = [each for each in gc.get_objects() if issubclass(type(each), Serialized | Serialize)]
    assert len(kept) < 10


def test_the_engine_becomes_ready_and_describes_itself(engine):
    engine.start()
    wait_for(lambda: engine.state == "ready", 60)
    assert engine.describe().startswith("2 workers on this machine")
    assert engine.trouble == ""


def test_torch_stays_in_the_workers(engine):
    wait_for(lambda: engine.state == "ready", 60)
    script = (
        "import sys, time, napari_tem_rf.engine as e\n"
        "assert not {'torch', 'distributed', 'qtpy'} & set(sys.modules)\n"
        "with e.Engine() as engine:\n"
        "    engine.submit(lambda report, stopped: 1).result(60)\n"
        "    while engine.state == 'starting': time.sleep(0.01)\n"
        "    assert engine.state == 'ready'\n"
        "assert not {'torch', 'qtpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=90)


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
@pytest.mark.parametrize("kind", ["training", "quick"])
@pytest.mark.parametrize("remains", [None, "go on from the end of epoch 3"])
def test_a_killed_worker_is_a_sentence_and_the_next_job_works(engine, kind, remains):
    healthy = engine.submit(process_id, kind=kind).result(60)
    tell = None if remains is None else lambda: remains
    job = engine.submit(die, kind=kind, name="gold", remains=tell)
    waiting = engine.submit(process_id, kind=kind)
    started = time.perf_counter()
    with pytest.raises(EngineError) as caught:
        job.result(30)
    assert time.perf_counter() - started < 5
    assert caught.value.sentence == (
        "gold lost its worker process, it was ended by SIGKILL, as when memory runs out: "
        + (remains or "start again")
    )
    assert waiting.result(60) != healthy
    assert len(children()) == 3


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
def test_a_killed_scheduler_is_a_sentence_and_the_next_job_works(engine):
    states = []
    engine.on_state(states.append)
    job = engine.submit(count, 10_000, 0.01, name="gold", remains=lambda: "go on from epoch 3")
    waiting = engine.submit(add, 1, 1, name="sum")
    wait_for(lambda: job.state == "running")
    (scheduler,) = (process for role, process in members() if role == "scheduler")
    scheduler.kill()
    gone = "the Dask scheduler on this machine is gone and took"
    sentences = {
        job: f"{gone} gold along: go on from epoch 3",
        waiting: f"{gone} sum along: start again",
    }
    for lost, sentence in sentences.items():
        with pytest.raises(EngineError) as caught:
            lost.result(30)
        assert str(caught.value) == sentence
    assert engine.submit(add, 1, 1).result(60) == 2
    assert states[states.index("lost") :][:2] == ["lost", "starting"]
    wait_for(lambda: len(children()) == 3)


def test_a_broken_remedy_hides_no_loss(engine, caplog):
    job = engine.submit(die, name="gold", remains=lambda: [][0])
    with pytest.raises(EngineError, match=r"gold lost its worker process.*: start again"):
        job.result(30)
    assert "IndexError" in caplog.text


def test_close_ends_all_processes_and_threads_twice():
    threads, others = set(threading.enumerate()), children()
    engine = Engine(workers=1)
    job = engine.submit(sleep, 60)  # does not listen
    wait_for(lambda: job.state == "running", 60)
    # with one worker a quick job runs beside the training
    assert engine.submit(add, 1, 1, kind="quick").result(60) == 2
    assert len(children()) == len(others) + 2
    started = time.perf_counter()
    engine.close()
    engine.close()
    assert time.perf_counter() - started < 8
    assert children() == others
    assert engine.state == "stopped"
    with pytest.raises(EngineError, match="the engine was closed before the job was over"):
        job.result(0)
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.submit(add, 1, 1)
    wait_for(lambda: not {t for t in threading.enumerate() if "tem-rf" in t.name} - threads)


def test_close_before_the_start_is_over():
    others = children()
    engine = Engine()
    job = engine.submit(add, 1, 1)
    engine.close()
    with pytest.raises(EngineError):
        job.result(0)
    # one that was just being started ends at once
    wait_for(lambda: children() == others, 5)


OWNER = """
import sys, time
from pathlib import Path
import psutil
from napari_tem_rf.engine import Engine
import test_engine

engine = Engine()
job = engine.submit(test_engine.write_number, Path(sys.argv[1]), 0.02)
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["killed", "leaves without closing"])
def test_no_process_outlives_its_owner(tmp_path, end):
    path = tmp_path / "asked"
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    command = [sys.executable, "-c", OWNER, str(path), "wait" if end == "killed" else "go"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        members = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        assert len(members) == (4 if sys.platform == "linux" else 3)
        if end == "killed":
            owner.kill()
        owner.wait(20)
    _, alive = psutil.wait_procs(members, timeout=10)
    assert alive == []
    assert path.read_text() == "stopped"  # the training had the time to put its things away


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return the address of a scheduler and the processes of its two workers."""
    folder = tmp_path_factory.mktemp("cluster")
    dask = [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    with (folder / "log").open("w") as log, contextlib.ExitStack() as stack:

        def start(*arguments):
            process = subprocess.Popen(
                [*dask, *arguments], stdout=log, stderr=log, cwd=folder, env=environment
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        file = folder / "scheduler.json"
        start("scheduler", *local, "--port", "0", "--scheduler-file", str(file))
        wait_for(file.exists, 60)
        address = json.loads(file.read_text())["address"]
        workers = [
            start("worker", address, *local, "--nthreads", "1", "--no-nanny", "--name", f"gpu{i}")
            for i in range(2)
        ]
        yield address, workers


def test_jobs_run_on_a_cluster_by_address(cluster, monkeypatch, tmp_path):
    address, workers = cluster
    monkeypatch.setenv("TEM_RF_SCHEDULER", address)
    others = children()
    with Engine() as engine:
        assert engine.submit(add, 2, 3).result(60) == 5
        wait_for(lambda: engine.width == 2)
        assert engine.describe() == f"cluster {address}, 2 workers"
        assert children() == others

        # one training a worker; the third waits; quick jobs do not
        seen = []
        trainings = [engine.submit(count, 10_000, 0.01, on_report=seen.append) for _ in "abc"]
        wait_for(lambda: [job.state for job in trainings] == ["running", "running", "waiting"])
        assert engine.submit(process_id, kind="quick").result(30) in {w.pid for w in workers}
        for job in trainings:
            wait_for(lambda job=job: job.state == "running")
            job.stop()
            job.result(20)
        image = np.random.default_rng(752).random((4099, 4093), np.float32)
        expected = image * 2
        np.testing.assert_array_equal(engine.submit(double, image).result(60), expected)

        # the scheduler keeps neither the reports of trainings nor what passed through it
        engine.submit(large_reports, 20).result(60)
        with Client(address, set_as_default=False) as client:
            wait_for(lambda: client.run_on_scheduler(left_behind) == ([], 0))

        # what runs for an owner that is gone stops
        path = tmp_path / "asked"
        engine.submit(write_number, path, 0.02)
        wait_for(path.exists)
    wait_for(lambda: path.read_text() == "stopped")


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
def test_faults_of_a_cluster_are_sentences(cluster):
    address, _ = cluster
    with Engine(address) as engine:
        pids = []
        job = engine.submit(sleep, 60, on_report=pids.append, name="gold")
        wait_for(lambda: pids)
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(EngineError, match=r"gold lost its worker process, it ended.*: start"):
            job.result(30)
        assert engine.submit(add, 1, 1).result(30) == 2
        assert engine.describe() == f"cluster {address}, 1 worker"


def test_an_address_where_nobody_answers_is_a_sentence(monkeypatch):
    monkeypatch.setattr("napari_tem_rf.engine.connection.CONNECT_SECONDS", 0.5)
    with Engine("tcp://127.0.0.1:9") as engine:
        with pytest.raises(EngineError, match="no Dask scheduler answers at tcp://127"):
            engine.submit(add, 1, 1).result(30)
        assert engine.state == "lost"
        assert "no Dask scheduler answers" in engine.trouble
        # it is not asked for each of many jobs anew
        with pytest.raises(EngineUnavailableError, match="no Dask scheduler answers"):
            list(run_all(engine, [Task(number, add, (1, 1)) for number in range(50)]))


@pytest.mark.parametrize(
    "address", ["garbage", "tcp://", "tcp://10.0.0.7", "tcp://gold:99999", "http://10.0.0.7:8786"]
)
def test_what_is_no_address_is_a_sentence_and_nothing_else(address, caplog, capfd, recwarn):
    with Engine(address) as engine, pytest.raises(EngineUnavailableError) as caught:
        engine.submit(add, 1, 1).result(30)
    assert str(caught.value) == (
        f"{address!r} is not the address of a Dask scheduler: it looks like tcp://10.0.0.7:8786, "
        "or tls://10.0.0.7:8786 for one with certificates"
    )
    assert caplog.records == list(recwarn) == []
    assert capfd.readouterr() == ("", "")


def test_the_number_of_workers_is_checked():
    with pytest.raises(ValueError, match="workers is 0: it must be at least 1"):
        Engine(workers=0)
    cores = os.cpu_count()
    most = max(8, 2 * cores)
    with pytest.raises(ValueError, match=rf"workers is 100000: .* {cores} cores?, .* {most} at"):
        Engine(workers=100_000)
    Engine(workers=most)


def interrupt(*, report, stopped):
    raise KeyboardInterrupt


def test_an_interrupted_inline_job_lets_the_interrupt_through():
    with Engine.inline() as engine:
        failures = []
        with pytest.raises(KeyboardInterrupt):
            engine.submit(interrupt, name="gold", on_failed=failures.append)
        assert [str(failure) for failure in failures] == ["gold was interrupted"]


@pytest.mark.parametrize("threaded", [False, True])
def test_the_inline_engine_does_the_same(threaded):
    with Engine.inline(threaded) as engine:
        assert isinstance(engine, InlineEngine)
        seen = []
        assert engine.submit(count, 5, 0, on_report=seen.append).result(5) == 5
        assert seen == [0, 1, 2, 3, 4]
        with pytest.raises(EngineError, match="redraw them") as caught:
            engine.submit(be_wrong).result(5)
        assert "in be_wrong" in caught.value.details
        many = run_all(engine, [Task(number, add, (number, 10)) for number in range(5)])
        assert results(many) == {n: n + 10 for n in range(5)}
        if threaded:
            job = engine.submit(count, 10_000, 0.01)
            wait_for(lambda: job.state == "running")
            assert engine.submit(add, 1, 1, kind="quick").result(5) == 2
            job.stop()
            assert job.result(5) < 10_000
        assert (engine.state, engine.describe()) == ("ready", "this process")
    with pytest.raises(EngineError, match="closed"):
        engine.submit(add, 1, 1)
