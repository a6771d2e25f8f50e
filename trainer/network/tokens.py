"""Images as transformers see them: a vector for each patch, and one beside them that stands for the whole."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import VisionTransformer


class Patches(nn.Module):
    """[n, 3, S, S] -> tokens [n, 1 + places, C]: the class token, then the patches, row by row."""

    def __init__(self, net: VisionTransformer) -> None:
        super().__init__()
        self.conv_proj = net.conv_proj
        self.class_token = net.class_token
        self.pos_embedding = net.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        patches: Tensor = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(patches), -1, -1), patches], dim=1)
        placed: Tensor = tokens + self.pos_embedding
        return placed


class TokenPool(nn.Module):
    """[n, 1 + places, C] -> [n, 2 C]: the class token, and the mean of the patches."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)


def patch_maps(tokens: Tensor, others: int = 1) -> Tensor | None:
    """[n, others + side * side, C] -> [n, C, side, side]; None where the patches make no square. `others`
    tokens, which are no patches, come first."""
    count = tokens.shape[1] - others
    side = math.isqrt(max(0, count))
    if not side or side * side != count:
        return None
    return tokens[:, others:].transpose(1, 2).reshape(len(tokens), -1, side, side)


def fit_positions(embedding: Tensor, places: int) -> Tensor | None:
    """What is added to the tokens of images of another size: [1, k + a * a, C] -> [1, k + b * b, C], where
    the latter is `places` in all; the k others stay. None where there are no such squares.

    Bicubic between the patches' centres at the corners, as torchvision does.
    """
    for others in range(3):  # none, a class token, and one that learned from a teacher
        maps, side = patch_maps(embedding, others), math.isqrt(max(0, places - others))
        if maps is not None and side and side * side == places - others:
            fitted = functional.interpolate(maps, (side, side), mode="bicubic", align_corners=True)
            return torch.cat([embedding[:, :others], fitted.flatten(2).transpose(1, 2)], dim=1)
    return None
