"""Jobs run at the same time, stop between two of them, and fail where they are waited for."""

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.workers import MOST_WORKERS, workers_for

CPU = torch.device("cpu")


@dataclass
class Job:
    work: Any


def never():
    return False


def test_as_many_at_once_as_torch_has_threads():
    together = threading.Barrier(3, timeout=60)  # broken unless three wait at it at one time
    with computing_threads(3), workers_for(CPU) as workers:
        assert len(list(workers.run([Job(together.wait) for _ in range(6)], never))) == 6


def test_threads_are_shared_out_and_given_back():
    seen = []
    jobs = [Job(lambda: seen.append(torch.get_num_threads())) for _ in range(40)]
    with computing_threads(2 * MOST_WORKERS):
        with workers_for(CPU) as workers:
            assert workers.count == MOST_WORKERS
            list(workers.run(jobs, never))
        assert set(seen) == {2}
        assert torch.get_num_threads() == 2 * MOST_WORKERS


@pytest.mark.parametrize("threads", [1, 3])
def test_one_job_alone_gets_all_threads(threads):
    seen = []
    with computing_threads(threads), workers_for(CPU) as workers:
        list(workers.run([Job(lambda: seen.append(torch.get_num_threads()))], never))
    assert seen == [threads]


@pytest.mark.parametrize("threads", [1, 3])
def test_stop_begins_no_other_job(threads):
    done = []
    answers = iter([False, False, True])
    jobs = [Job(lambda: done.append(1)) for _ in range(9)]
    with computing_threads(threads), workers_for(CPU) as workers:
        finished = list(workers.run(jobs, lambda: next(answers)))
    assert len(done) == len(finished) == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_reaches_who_waits(threads):
    def fail():
        raise FloatingPointError("overflow in a tile")

    with (
        computing_threads(threads),
        workers_for(CPU) as workers,
        pytest.raises(FloatingPointError, match="overflow in a tile"),
    ):
        list(workers.run([Job(fail), Job(fail), Job(fail)], never))


def test_a_gpu_does_one_job_after_the_other():
    with workers_for(torch.device("cuda")) as workers:
        assert workers.count == 1
        seen = [Job(threading.get_ident) for _ in range(3)]
        assert list(workers.run(seen, never)) == seen
