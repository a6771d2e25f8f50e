from fovea.model.classifier import Classifier
from trainer.evaluate.latency import BATCH_SIZE, describe_machine, measure_latency


def test_latency_is_measured_of_single_images_and_of_batches(tiny_classifier: Classifier) -> None:
    crops = tiny_classifier.bundle.golden().crops
    latency = measure_latency(tiny_classifier, crops)
    assert 0 < latency.single_ms < 1000
    assert latency.images_per_s > 10
    assert latency.batch_size == BATCH_SIZE


def test_the_machine_is_described_in_one_line(tiny_classifier: Classifier) -> None:
    said = describe_machine(tiny_classifier, 1)
    assert ", 1 thread, onnxruntime " in said
    assert said.endswith("(CPUExecutionProvider)")
    assert "\n" not in said
