import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from server.errors import NoModelReady, VersionNotLoaded
from server.models.catalogue import Catalogue
from server.models.loaded_models import LoadedModels
from server.models.served_model import ServedModel
from tests.server.event_loop import all_has_run, in_event_loop


class Model:
    """As much of a ServedModel as LoadedModels touches."""

    def __init__(self, version: int, name: str) -> None:
        self.contract = SimpleNamespace(version=version, name=name)
        self.has_workers = True
        self.on_workers_changed: Callable[[], None] = lambda: None
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def swap(models: LoadedModels[ServedModel], version: int, name: str = "") -> Model:
    model = Model(version, name)
    models.swap(cast("ServedModel", model))
    return model


@in_event_loop
async def test_nothing_can_be_asked_for_before_there_is_a_model() -> None:
    with pytest.raises(NoModelReady), LoadedModels().choice.use(0):
        pass


@in_event_loop
async def test_requests_after_a_swap_go_to_the_new_model() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    swap(models, 1)
    second = cast("ServedModel", swap(models, 2))
    with models.choice.use(0) as current, models.choice.use(2) as named:
        assert current is named is second


@in_event_loop
async def test_replaced_model_is_closed_when_its_last_request_is_answered() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    first = swap(models, 1)
    with models.choice.use(0):
        with models.choice.use(1):
            swap(models, 2)
            closing = asyncio.create_task(models.close_replaced())
        await all_has_run()
        assert not first.closed
    await closing
    assert first.closed


@in_event_loop
async def test_request_that_fails_does_not_hold_its_model() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    first = swap(models, 1)
    with pytest.raises(ZeroDivisionError), models.choice.use(0):
        raise ZeroDivisionError
    swap(models, 2)
    await models.close_replaced()
    assert first.closed


@in_event_loop
async def test_model_without_requests_is_closed_at_once() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    first, second = swap(models, 1), swap(models, 2)
    await models.close_replaced()
    assert (first.closed, second.closed) == (True, False)


@in_event_loop
async def test_replaced_version_cannot_be_asked_for_although_it_still_finishes() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    swap(models, 1)
    with models.choice.use(1):
        swap(models, 2)
        with pytest.raises(VersionNotLoaded, match=r"version 1 is not loaded \(loaded: 2\)"):
            models.choice.choose(1)


@in_event_loop
async def test_closing_ends_the_replaced_model_too_whatever_it_still_has_to_do() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    first = swap(models, 1)
    with models.choice.use(0):
        second = swap(models, 2)
        await models.close()
        assert first.closed
        assert second.closed


@in_event_loop
async def test_readiness_is_told_when_the_current_model_can_no_longer_answer_and_when_it_can() -> None:
    catalogue: Catalogue[ServedModel] = Catalogue()
    models = catalogue.add("pets")
    readiness = catalogue.readiness()
    assert not catalogue.is_ready
    first = swap(models, 1)
    assert await anext(readiness)
    for able in (False, True, False):
        first.has_workers = able
        first.on_workers_changed()
        assert await anext(readiness) is able
    swap(models, 2)
    assert await anext(readiness)


@in_event_loop
async def test_share_of_the_calls_goes_to_the_second_model_while_it_can_compute() -> None:
    models: LoadedModels[ServedModel] = LoadedModels()
    first, second = swap(models, 1), Model(2, "")
    models.put_second(cast("ServedModel", second))
    models.share(100)

    def answering(key: Callable[[], str] | None) -> object:
        with models.choice.use(0, key=key) as model:
            return model

    assert answering(lambda: "ann") is second
    assert answering(None) is first, "who describes a model means the current one"
    second.has_workers = False
    assert (answering(lambda: "ann"), models.percent) == (first, 0)
    second.has_workers = True
    with models.choice.use(0, key=lambda: "ann"):
        models.drop_second()
        assert answering(lambda: "ann") is first
        closing = asyncio.create_task(models.close_replaced())
        await all_has_run()
        assert not second.closed
    await closing
    assert second.closed
