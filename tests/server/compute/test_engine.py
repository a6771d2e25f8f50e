import pytest

from fovea.model.bundle import ModelBundle
from server.compute import engine
from server.compute.start_up import ProcessReady, ProcessSettings
from server.compute.warm_up import WarmUp
from server.config import ServeSettings
from tests.server.event_loop import in_event_loop


class Opened:
    """A worker that is open at once, without its process."""

    def __init__(self, settings: ProcessSettings) -> None:
        self.settings = settings

    async def open(self) -> ProcessReady:
        return ProcessReady("fp32", WarmUp(0.005, ((1, 0.01),)), run_images=2)


@in_event_loop
async def test_on_a_cpu_the_first_worker_takes_all_cores_for_a_lone_image_and_each_other_one_core(
    tiny_bundle: ModelBundle,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ProcessWorker", Opened)
        opened = await engine.open_engine(
            tiny_bundle, ServeSettings(models="unused", provider="cpu", threads=3)
        )
    workers = [worker for worker in opened.workers if isinstance(worker, Opened)]
    assert [worker.settings.wide_threads for worker in workers] == [3, 1, 1]
    assert opened.limits.concurrency == 3
    assert opened.limits.min_efficient_batch == 2
