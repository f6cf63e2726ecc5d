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
COMPILED = "/jax/core/compile/backend_compile_duration"


def pytest_addoption(parser):
    group = parser.getgroup("benchmarks of numpyro_bayeslayers")
    group.addoption("--backend", choices=sorted(PLATFORMS), default="cpu")
    group.addoption("--size", choices=(*SIZES, "both"), default="both")
    group.addoption(
        "--quick", action="store_true", help="the five questions, in three rounds"
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


def pytest_collection_modifyitems(config, items):
    """Of a quick run, the small ones among those that answer a question."""
    if not config.getoption("--quick"):
        return
    from benchmarks.questions import QUICK

    chosen = [i for i in items if f"{i.path.name}::{i.name}" in QUICK]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


def pytest_generate_tests(metafunc):
    if "size" in metafunc.fixturenames:
        size = metafunc.config.getoption("--size")
        metafunc.parametrize("size", SIZES if size == "both" else (size,))


def pytest_benchmark_update_machine_info(config, machine_info):
    """Say what was measured on, and no more."""
    machine_info.clear()
    machine_info.update(device=device_name(), cores=os.cpu_count())


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Keep earlier results of what this run left out, so that one file can be repeated."""
    for entry in output_json["benchmarks"]:
        entry["stats"].pop("data", None)
    path = Path(config.option.benchmark_json)
    if not (path.exists() and path.stat().st_size):
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
        ours, other: What to time.
        steps: How many steps one call takes.
        rounds: How many times each is called.
        goal: The ratio to stay below, for the report.
        extra_info: More to record.
    """

    def measure(ours, other, *, steps=1, rounds=15, goal=None, **extra_info):
        if request.config.getoption("--quick"):
            rounds = min(rounds, 3)
        ours, other = finished(ours), finished(other)
        ours_first, other_first = seconds(ours), seconds(other)
        others, other_work, work = [], [], []

        def set_up():
            before = time.process_time()
            others.append(seconds(other))
            other_work.append(time.process_time() - before)

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
        return statistics.median(ratios)

    return measure


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
    import jax

    found = []

    def listen(event, duration, **kwargs):
        if event == COMPILED:
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)
