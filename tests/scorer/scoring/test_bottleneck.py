from scorer.files.rows import StageTime
from scorer.scoring.bottleneck import BUSY, SHORT_S, Advice, advise


def stages(
    fetch: float = 0.1,
    decode: float = 0.1,
    compute: float = 0.1,
    write: float = 0.01,
    cpu: float = 0.3,
    threads: int = 4,
    cores: int = 4,
) -> dict[str, StageTime]:
    """Ten seconds in which the stages were busy for these shares of the time."""
    return {
        "fetch": StageTime(fetch * 320, 320),
        "decode": StageTime(decode * 10 * threads, 10 * threads),
        "compute": StageTime(compute * 10 * threads, 10 * threads),
        "write": StageTime(write * 10, 10),
        "cpu": StageTime(cpu * 10 * cores, 10 * cores),
    }


def advice(**shares: float | int) -> Advice:
    advised = advise(stages(**shares))  # type: ignore[arg-type]
    assert advised
    return advised


def test_a_slow_store_asks_for_more_fetches_at_once() -> None:
    advised = advice(fetch=0.95)
    assert (advised.stage, advised.knob.split(":")[0]) == ("fetch", "raise --fetch-concurrency")


def test_few_threads_on_many_cores_ask_for_more_threads() -> None:
    advised = advice(decode=0.6, compute=0.35, threads=1, cpu=0.25)
    assert (advised.stage, advised.knob.split(":")[0]) == ("decode", "raise --decode-threads")


def test_decoding_and_computing_are_one_pool_of_threads_on_a_cpu() -> None:
    assert advice(fetch=0.7, decode=0.4, compute=0.55, threads=1).stage == "compute"


def test_busy_cores_are_a_verdict_of_their_own() -> None:
    advised = advice(fetch=0.97, decode=0.2, compute=0.75, cpu=0.96)
    assert advised.stage == "cpu"
    assert "96% busy: give it more cores, or run more workers" in advised.knob
    assert "the model has 79% of the work, decoding 21%; a GPU would take that over" in advised.knob


def test_decoding_that_fills_the_cores_does_not_ask_for_a_gpu() -> None:
    assert "GPU" not in advice(decode=0.75, compute=0.2, cpu=0.96).knob


def test_cores_that_others_have_are_said_to_be_so() -> None:
    advised = advice(decode=0.5, compute=0.48, cpu=0.5)
    assert advised.stage == "decode"
    assert "the cores have other work too" in advised.knob


def test_a_slow_disk_is_named() -> None:
    assert advice(write=0.9).stage == "write"


def test_a_gpu_asks_for_larger_batches() -> None:
    advised = advise(stages(compute=0.9, decode=0.8, cpu=0.5), on_gpu=True)
    assert advised
    assert advised.stage == "compute"
    assert advised.knob.startswith("raise --batch-size")


def test_decoding_before_a_gpu_asks_for_threads_or_cores() -> None:
    advised = advise(stages(compute=0.3, decode=0.9, cpu=0.4, threads=2), on_gpu=True)
    assert advised == Advice("decode", "raise --decode-threads: there are cores without work")


def test_nothing_to_do_has_no_bottleneck() -> None:
    assert advise({}) is None
    assert advise(stages(fetch=0, decode=0, compute=0)) is None


def test_a_run_of_a_moment_does_not_blame_others() -> None:
    moment = {
        name: StageTime(stage.busy_s / 100, stage.capacity_s / 100)
        for name, stage in stages(decode=0.5, compute=0.48, cpu=0.5).items()
    }
    advised = advise(moment)
    assert advised
    assert "too short to tell" in advised.knob


def test_the_cores_are_what_is_short_from_85_percent_on() -> None:
    assert BUSY == 0.85
    assert advise({**stages(fetch=0.97), "cpu": StageTime(34.0, 40.0)}) == Advice(
        "cpu",
        "the cores are 85% busy: give it more cores, or run more workers "
        "(the model has 50% of the work, decoding 50%; a GPU would take that over)",
    )
    assert advice(fetch=0.97, cpu=0.849).stage == "fetch"


def test_a_gpu_is_spoken_of_where_the_model_has_half_of_the_work() -> None:
    assert "a GPU would take that over" in advice(decode=0.4, compute=0.4, cpu=0.9).knob
    assert "GPU" not in advice(decode=0.41, compute=0.4, cpu=0.9).knob


def test_the_larger_of_decoding_and_computing_names_both() -> None:
    assert advice(decode=0.4, compute=0.41, cpu=0.5).stage == "compute"
    assert advice(decode=0.41, compute=0.4, cpu=0.5).stage == "decode"


def test_ten_seconds_of_all_cores_are_enough_to_tell() -> None:
    assert SHORT_S == 10.0
    for seconds, says in ((9.9, "too short to tell"), (10.0, "the cores have other work too")):
        threads = {"decode": StageTime(0.9 * seconds, seconds), "cpu": StageTime(0.5 * seconds, seconds)}
        advised = advise(threads)
        assert advised
        assert says in advised.knob


def test_a_thread_less_than_the_cores_asks_for_more_threads() -> None:
    for threads, says in ((99.0, "other work too"), (98.0, "raise --decode-threads")):
        advised = advise({"decode": StageTime(0.9 * threads, threads), "cpu": StageTime(50.0, 100.0)})
        assert advised
        assert says in advised.knob
