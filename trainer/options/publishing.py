"""What a model has to reach to be published."""

from pydantic import Field

from trainer.options.program import TrainerOptions


class PublishingOptions(TrainerOptions):
    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="a model whose held-out accuracy is below this is not published, and the exit code 65; "
        "default: any is good that is better than always naming the most frequent class",
    )
    publish_anyway: bool = Field(False, description="publish the model whatever its accuracy")
