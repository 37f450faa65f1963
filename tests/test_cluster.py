"""A cluster by address: several programs on one scheduler, and the command line on it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_tem_rf.engine import Engine
from napari_tem_rf.runs import read_run

pytestmark = pytest.mark.timeout(300)

SHAPE = (67, 83)
_PROGRAM = "from napari_tem_rf.cli import main; main()"


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def go_on_until_stopped(*, report, stopped):
    report(os.getpid())
    while not stopped():
        time.sleep(0.01)
    return os.getpid()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return the address of a scheduler with two workers, started as a user would."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "log").open("w") as log, contextlib.ExitStack() as stack:

        def dask(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        file = folder / "scheduler.json"
        local = ("--host", "127.0.0.1", "--no-dashboard")
        dask("scheduler", *local, "--port", "0", "--scheduler-file", str(file))
        wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        for name in ("one", "two"):
            dask("worker", address, *local, "--nthreads", "1", "--no-nanny", "--name", name)
        with Engine(address) as engine:
            engine.start()
            # torch is loaded in both workers
            wait_for(lambda: engine.state == "ready" and engine.width == 2)
        yield address


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return a certificate for everybody and its key, made as docs/clusters.md says."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl")
    folder = tmp_path_factory.mktemp("tls")
    kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=gold"
    subprocess.run(
        [openssl, *kind.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


_ASK = """
import sys
from napari_tem_rf.engine import Engine, EngineError
with Engine(sys.argv[1]) as engine:
    try:
        print(engine.submit(lambda report, stopped: 5).result(60))
    except EngineError as error:
        print(error)
"""


def ask(address, **variables):
    """Return what a program says that gives a job to the scheduler at an address."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _ASK, address],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_cluster_with_certificates(certificates, tmp_path):
    """In with the files that the environment names; without them, or with others, a sentence."""
    certificate, key = map(str, certificates)
    tls = ("--tls-ca-file", certificate, "--tls-cert", certificate, "--tls-key", key)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    local = ("--host", "127.0.0.1", "--no-dashboard", *tls)
    file = tmp_path / "scheduler.json"
    with (tmp_path / "log").open("w") as log, contextlib.ExitStack() as stack:

        def dask(*arguments):
            command = [sys.executable, "-m", "dask", *arguments]
            process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=tmp_path, env=environment
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        dask("scheduler", *local, "--protocol", "tls", "--port", "0", "--scheduler-file", str(file))
        wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://")
        dask("worker", address, *local, "--nthreads", "1", "--no-nanny")
        names = {
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": certificate,
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": certificate,
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": key,
        }
        assert ask(address, **names) == "5"
        assert ask(address) == (
            f"{address} wants certificates and none is configured: name the PEM files in "
            f"{', '.join(names)}, or in Dask's configuration file"
        )
        missing = names | {"DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": "/nowhere.pem"}
        assert ask(address, **missing) == (
            'the certificate file "/nowhere.pem" (DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT) '
            "cannot be read: check the path and its permissions"
        )
        mixed_up = names | {"DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": certificate}
        assert ask(address, **mixed_up).startswith(
            f"the certificates for {address} cannot be used (SSLError: "
        )


def running(jobs):
    return [job.state for job in jobs].count("running")


def test_two_programs_share_the_workers_of_a_scheduler(cluster):
    """One training a worker, whichever program it is of; the third waits for either."""
    with Engine(cluster) as one, Engine(cluster) as other:
        pids = []
        jobs = [
            engine.submit(go_on_until_stopped, on_report=pids.append)
            for engine in (one, other, other)
        ]
        wait_for(lambda: running(jobs) == 2 and len(pids) == 2)
        assert len(set(pids)) == 2
        time.sleep(0.5)
        assert running(jobs) == 2
        # either program may have got both places
        (waiting,) = (job for job in jobs if job.state == "waiting")
        first, second = (job for job in jobs if job is not waiting)
        first.stop()
        wait_for(lambda: waiting.state == "running")
        assert first.result(0) in pids
        for job in (second, waiting):
            job.stop()
        assert {job.result(90) for job in (second, waiting)} == set(pids)


def test_a_program_that_is_gone_leaves_its_workers_to_others(cluster):
    gone = Engine(cluster)
    jobs = [gone.submit(go_on_until_stopped) for _ in "ab"]
    wait_for(lambda: running(jobs) == 2)
    with Engine(cluster) as engine:
        job = engine.submit(go_on_until_stopped)
        wait_for(lambda: engine.width == 2)
        assert job.state == "waiting"
        gone.close()
        wait_for(lambda: job.state == "running")
        job.stop()
        assert job.result(90)


def commands(*many, **variables):
    """Run several commands of the program at the same time and return what each wrote."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for arguments in many
    ]
    said = [process.communicate(timeout=250) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(many), said
    return [json.loads(out) for out, _ in said]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Return a folder of images and masks: bright squares on noise."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(752)
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for number in range(4):
        mask = np.zeros(SHAPE, np.uint8)
        mask[10 * number : 10 * number + 29, 20:50] = 1
        pixels = (rng.normal(100, 10, SHAPE) + 40 * mask).astype(np.float32)
        tifffile.imwrite(folder / "images" / f"gold_{number}.tif", pixels)
        tifffile.imwrite(folder / "labels" / f"gold_{number}.tif", mask)
    return folder


@pytest.fixture(scope="module")
def runs(cluster, data, tmp_path_factory) -> list[Path]:
    """Two runs, trained at the same time by two commands on one scheduler."""
    folder = tmp_path_factory.mktemp("runs")
    seeds = (752, 2245)
    answers = commands(
        *(
            [
                *("train", data / "images", "--labels", data / "labels"),
                *("--unlabelled", "background", "--pools", 2, "--filters", 4, "--epochs", 1),
                *("--run", folder / f"seed_{seed}", "--seed", seed),
                *("--scheduler", cluster, "--json"),
            ]
            for seed in seeds
        )
    )
    assert [answer["seed"] for answer in answers] == list(seeds)
    assert [answer["state"] for answer in answers] == ["finished"] * 2
    return [folder / f"seed_{seed}" for seed in seeds]


def test_trainings_of_several_commands(runs):
    first, second = (read_run(folder).read_weights() for folder in runs)
    assert any((first[name] != second[name]).any() for name in first)


def test_a_run_is_repeated_on_the_cluster_to_the_last_bit(cluster, runs, tmp_path):
    (answer,) = commands(
        ["train", "--repeat", runs[0], "--run", tmp_path / "again", "--json"],
        TEM_RF_SCHEDULER=cluster,
    )
    assert answer["largest_weight_difference"] == 0


def test_a_folder_predicted_on_the_cluster_is_the_same(cluster, runs, data, tmp_path):
    """A series among the images; probabilities too."""
    images = data.parent / "to_predict"
    images.mkdir(exist_ok=True)
    frames = [tifffile.imread(path) for path in sorted((data / "images").iterdir())]
    np.save(images / "series.npy", np.stack(frames[:3]))
    tifffile.imwrite(images / "gold_3.tif", frames[3])
    here, there = tmp_path / "here", tmp_path / "there"
    predict = ("predict", runs[0], images, "--probabilities", "--json", "--out")
    (alone, spread) = (
        *commands([*predict, here], TEM_RF_SCHEDULER=""),
        *commands([*predict, there, "--scheduler", cluster]),
    )
    assert [mask["foreground"] for mask in spread["masks"]] == [
        mask["foreground"] for mask in alone["masks"]
    ]
    names = sorted(path.name for path in here.iterdir())
    assert sorted(path.name for path in there.iterdir()) == names
    assert sum(name.endswith("_probabilities.tif") for name in names) == 4
    for path in here.glob("*.tif"):
        np.testing.assert_allclose(
            tifffile.imread(there / path.name), tifffile.imread(path), atol=1e-5
        )


@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_wrong_address_is_one_sentence(command, runs, data, tmp_path, monkeypatch, capsys):
    from napari_tem_rf.cli import main

    monkeypatch.setattr("napari_tem_rf.engine.connection.CONNECT_SECONDS", 0.5)
    image = data / "images" / "gold_0.tif"
    arguments = {
        "train": ["train", image, "--labels", data / "labels", "--run", tmp_path / "run"],
        "predict": ["predict", runs[0], data / "images", "--out", tmp_path / "masks"],
    }[command]
    with pytest.raises(SystemExit) as left:
        main([*map(str, arguments), "--scheduler", "tcp://127.0.0.1:9"])
    assert left.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: no Dask scheduler answers at tcp://127.0.0.1:9")
    assert not (tmp_path / "run").exists()
