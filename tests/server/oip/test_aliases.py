"""Which model a name of the protocol is one of."""

from types import SimpleNamespace
from typing import cast

import pytest

from fovea.model.bundle import ModelBundle
from server.errors import FieldInvalid, ModelUnknown
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.oip.aliases import find
from tests.server.event_loop import in_event_loop


@in_event_loop
async def test_a_name_is_a_models_own_before_it_is_that_of_anothers_crops(tiny_bundle: ModelBundle) -> None:
    models: Catalogue[ServedModel] = Catalogue()
    for name in ("a", "a_onnx", "b"):
        contract = tiny_bundle.contract.model_copy(update={"name": name})
        model = SimpleNamespace(contract=contract, has_workers=True)
        models.add(name).swap(cast("ServedModel", model))
    for asked, model_name, takes_crops in (
        ("a", "a", False),
        ("a_onnx", "a_onnx", False),
        ("a_onnx_onnx", "a_onnx", True),
        ("b_onnx", "b", True),
    ):
        alias, own = find(models, asked)
        assert (alias.name, own, alias.takes_crops) == (asked, model_name, takes_crops)
    for unknown in ("c", "_onnx", "", "b_onnx_onnx"):
        with pytest.raises(ModelUnknown, match="there is no model"):
            find(models, unknown)
    with pytest.raises(FieldInvalid, match="model must name one of several: 'a', 'a_onnx', 'b'"):
        models.choose(0)
