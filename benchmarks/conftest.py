"""How everything here is timed.

Compilation stays outside the clock and is recorded beside it; a call ends when its results
are there. Two ways of doing one thing are timed in one process, in turn, so that whatever
else the machine does falls on both: what is reported is the median of the ratios of rounds.
"""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
PLATFORMS = {"cpu": "cpu", "gpu": "cuda"}
SIZES = ("small", "large")
#: What has no goal, and what takes longest, in this order.
LAST = ("test_forward", "test_gradient", "test_samplers")
#: When the first case began; how many results are in the file, and since when.
BEGUN, WRITTEN = pytest.StashKey[float](), pytest.StashKey[list]()
#: The processor's seconds when a case began; each result tells those of its whole case.
USED = pytest.StashKey[float]()
SECONDS_APART = 5.0


def pytest_addoption(parser):
    group = parser.getgroup("benchmarks of numpyro_bayeslayers")
    group.addoption("--backend", choices=sorted(PLATFORMS), default="cpu")
    group.addoption("--size", choices=(*SIZES, "both"), default="both")
    group.addoption(
        "--quick", action="store_true", help="the five questions, in three rounds"
    )
    group.addoption(
        "--minutes", type=float, help="no case begins after so many; default: no limit"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    backend = config.getoption("--backend")
    os.environ["JAX_PLATFORMS"] = PLATFORMS[backend]
    if "jax" in sys.modules:  # it has read the variable already, but not yet acted on it
        sys.modules["jax"].config.update("jax_platforms", PLATFORMS[backend])
    if config.getoption("benchmark_json", None) is None:
        results = ROOT / "results"
        results.mkdir(exist_ok=True)
        (results / ".gitignore").write_text("*\n")
        name = "quick" if config.getoption("--quick") else backend
        config.option.benchmark_json = results / f"{name}.json"
    if (
        config.getoption("benchmark_max_time") == "1.0"
    ):  # its default, for each of 300 cases
        config.option.benchmark_max_time = "0.1"
    config.stash[WRITTEN] = [0, time.monotonic()]


def pytest_collection_modifyitems(config, items):
    """Some files come last; of a quick run, the small ones that answer a question."""
    place = {name: number for number, name in enumerate(LAST)}
    items.sort(key=lambda item: place.get(item.path.stem, -1))
    if not config.getoption("--quick"):
        return
    from benchmarks.questions import QUICK

    chosen = [i for i in items if f"{i.path.name}::{i.name}" in QUICK]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


def pytest_runtest_setup(item):
    """Begin nothing when the time is up."""
    minutes = item.config.getoption("--minutes")
    begun = item.config.stash.setdefault(BEGUN, time.monotonic())
    if minutes is not None and time.monotonic() - begun > 60 * minutes:
        pytest.skip(f"the {minutes:g} minutes are over")
    item.config.stash[USED] = time.process_time()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """Write what there is, so that a run that is stopped leaves it."""
    session = item.config._benchmarksession
    if session.benchmarks and session.benchmarks[-1].fullname == item.nodeid:
        used = time.process_time() - item.config.stash[USED]
        session.benchmarks[-1].extra_info["case_seconds"] = used
    count, when = item.config.stash[WRITTEN]
    if len(session.benchmarks) == count or time.monotonic() - when < SECONDS_APART:
        return
    options = {"config": item.config, "benchmarks": session.benchmarks}
    output = item.config.hook.pytest_benchmark_generate_json(
        **options,
        include_data=False,
        machine_info=session.get_machine_info(),
        commit_info={},
    )
    item.config.hook.pytest_benchmark_update_json(**options, output_json=output)
    path = Path(item.config.option.benchmark_json)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(output, default=str))
    part.replace(path)
    item.config.stash[WRITTEN] = [len(session.benchmarks), time.monotonic()]


def pytest_generate_tests(metafunc):
    if "size" in metafunc.fixturenames:
        size = metafunc.config.getoption("--size")
        metafunc.parametrize("size", SIZES if size == "both" else (size,))


def pytest_benchmark_update_machine_info(config, machine_info):
    """Say what was measured on, and no more."""
    machine_info.clear()
    machine_info.update(device=device_name(), cores=os.cpu_count())


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Keep earlier results of what a run of some files or cases left out."""
    for entry in output_json["benchmarks"]:
        entry["stats"].pop("data", None)
    path = Path(config.option.benchmark_json)
    is_whole = not config.option.keyword and all(Path(a).is_dir() for a in config.args)
    if is_whole or not (path.exists() and path.stat().st_size):
        return
    new = {entry["fullname"] for entry in output_json["benchmarks"]}
    is_partial = config.option.keyword or any("::" in str(arg) for arg in config.args)
    repeated = set() if is_partial else {file_of(e) for e in output_json["benchmarks"]}
    old = json.loads(path.read_text())
    if old["machine_info"] == output_json["machine_info"]:
        output_json["benchmarks"] += [
            entry
            for entry in old["benchmarks"]
            if entry["fullname"] not in new
            and file_of(entry) not in repeated
            and (ROOT.parent / file_of(entry)).exists()
        ]


def file_of(entry):
    """The file of an entry, from the root of the repository."""
    return f"benchmarks/{Path(entry['fullname'].split('::')[0]).name}"


def device_name():
    """The model of the processor that JAX computes on."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe():
    """What each result carries with it."""
    import jax
    import numpyro

    return {
        "backend": jax.default_backend(),
        "device": device_name(),
        "jax": jax.__version__,
        "numpyro": numpyro.__version__,
    }


def finished(fn):
    """`fn`, waiting for its results."""
    import jax

    return lambda: jax.block_until_ready(fn())


@pytest.fixture
def timed(benchmark):
    """``timed(fn, *args)``: time `fn`, jitted, on `args`.

    Recorded beside the times: seconds to trace and to compile, floating-point operations
    and bytes of temporary memory, as the compiler counts them. The last result is returned.
    """
    import jax

    def measure(fn, *args, **extra_info):
        jitted = fn if hasattr(fn, "lower") else jax.jit(fn)
        args = jax.block_until_ready(jax.device_put(args))
        start = time.perf_counter()
        lowered = jitted.lower(*args)
        traced = time.perf_counter()
        compiled = lowered.compile()
        done = time.perf_counter()
        cost = compiled.cost_analysis() or {}
        memory = compiled.memory_analysis()
        benchmark.extra_info.update(
            describe(),
            trace_seconds=traced - start,
            compile_seconds=done - traced,
            flops=cost.get("flops"),
            temp_bytes=getattr(memory, "temp_size_in_bytes", None),
            **extra_info,
        )
        call = finished(lambda: compiled(*args))
        call()
        return benchmark(call)

    return measure


@pytest.fixture
def compare(benchmark, request):
    """``compare(ours, other)``: time two functions without arguments, in turn.

    Both are called once before the clock starts. The other one is called in the set-up of
    each round of ours, so rounds go A, B, A, B. Recorded are the median over rounds of the
    ratio ours / other and the median seconds of each, both for one of `steps` steps; and the
    same ratio of the processor's time, which other work on the machine disturbs less.

    Args of the function that the fixture gives:
        ours, other: What to time; the other may be a call of a `Peer`, see studies/peers.py.
        steps: How many steps one call takes.
        rounds: How many times each is called.
        goal: The ratio to stay below, for the report.
        extra_info: More to record.
    """

    def measure(ours, other, *, steps=1, rounds=9, goal=None, **extra_info):
        if request.config.getoption("--quick"):
            rounds = min(rounds, 3)
        asked, ours, other = other, finished(ours), finished(other)
        ours_first, other_first = seconds(ours), seconds(other)
        others, other_work, work = [], [], []

        def set_up():
            before = time.process_time()
            others.append(seconds(other))
            other_work.append(getattr(asked, "used", time.process_time() - before))

        def worked():
            before = time.process_time()
            ours()
            work.append(time.process_time() - before)

        benchmark.pedantic(worked, setup=set_up, rounds=rounds, iterations=1)
        times = benchmark.stats.stats.data
        ratios = [a / b for a, b in zip(times, others, strict=True)]
        benchmark.extra_info.update(
            describe(),
            ratio=statistics.median(ratios),
            ratio_range=[min(ratios), max(ratios)],
            work_ratio=statistics.median(
                a / b for a, b in zip(work, other_work, strict=True)
            ),
            work_seconds=statistics.median(work),
            other_work_seconds=statistics.median(other_work),
            goal=goal,
            steps=steps,
            seconds_per_step=statistics.median(times) / steps,
            other_seconds_per_step=statistics.median(others) / steps,
            first_seconds=ours_first,
            other_first_seconds=other_first,
            words=(request.function.__doc__ or "").split("\n")[0],
            parameters=parameters_of(request),
            **extra_info,
        )
        if hasattr(asked, "versions"):
            benchmark.extra_info["peer"] = asked.versions
        return statistics.median(ratios)

    return measure


@pytest.fixture
def as_in_long_runs(monkeypatch):
    """Loops are compiled as those of long runs are, whose steps a short call stands for.

    A loop of few steps is compiled cheaply, as it would not pay; one by hand never is. Where the
    level is chosen by the variable of XLA, which has been read long before, it is not lowered.
    """
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")


@pytest.fixture(scope="module")
def peer():
    """``peer(name)``: the running process of a peer; the case is skipped if there is none."""
    from benchmarks.studies import peers

    running = {}

    def find(name):
        if name not in running:
            if peers.interpreter(name) is None:
                pytest.skip(peers.why_not(name))
            running[name] = peers.Peer(name, ROOT / "studies" / "sides.py")
        return running[name]

    yield find
    for each in running.values():
        each.close()


def parameters_of(request):
    """The parameters of a test in words: ``members 16, other hand scan``."""
    values = getattr(getattr(request.node, "callspec", None), "params", {})
    words = (f"{k} {getattr(v, '__name__', v)}" for k, v in values.items())
    return ", ".join(words).replace("_", " ").replace(" None", " all")


def seconds(call):
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.fixture
def compilations():
    """A list that grows by one entry with each program that XLA compiles."""
    from tests.programs import programs_made

    with programs_made() as found:
        yield found
