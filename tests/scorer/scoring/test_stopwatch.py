import threading
import time

from scorer.scoring.stopwatch import Stopwatch


def test_a_stopwatch_adds_up_the_time_of_all_threads() -> None:
    watch = Stopwatch()
    together = threading.Barrier(3, timeout=30)

    def work() -> None:
        with watch.running():
            together.wait()
            started = time.perf_counter()
            while time.perf_counter() < started + 0.02:
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.busy_s >= 0.06
