"""The released STM and STCN, written once more as plain functions of a state dict, to compare with.

Straight from a description of the releases: one frame after the other, one object after the other, every
convolution an ``F.conv2d`` on a named tensor, the memory a growing list. Nothing of ``stremn`` is used.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
DEPTHS = {50: (3, 4, 6), 18: (2, 2, 2)}


def biased_shapes(shapes: Shapes) -> Shapes:
    """The same with a bias for each convolution (STCN's value encoder, unlike torchvision)."""
    convolutions = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    return shapes | {f"{name.removesuffix('weight')}bias": s[:1] for name, s in convolutions.items()}


def trunk_shapes(prefix: str, depth: int, layers: tuple[str, ...], channels_in: int = 3) -> Shapes:
    """Shapes of conv1, bn1 and three layers of a torchvision ResNet."""
    shapes: Shapes = {f"{prefix}conv1.weight": (64, channels_in, 7, 7), **norm_shapes(f"{prefix}bn1", 64)}
    channels = 64
    for stage, (layer, blocks) in enumerate(zip(layers, DEPTHS[depth], strict=True)):
        width = 64 * 2**stage
        out = width * (4 if depth == 50 else 1)
        for i in range(blocks):
            at = f"{prefix}{layer}.{i}."
            kernels = (1, 3, 1) if depth == 50 else (3, 3)
            widths = [channels, *[width] * (len(kernels) - 1), out]
            for n, k in enumerate(kernels, 1):
                shapes[f"{at}conv{n}.weight"] = (widths[n], widths[n - 1], k, k)
                shapes |= norm_shapes(f"{at}bn{n}", widths[n])
            if i == 0 and (stage or out != 64):
                shapes[f"{at}downsample.0.weight"] = (out, channels, 1, 1)
                shapes |= norm_shapes(f"{at}downsample.1", out)
            channels = out
    return shapes


def norm_shapes(name: str, channels: int) -> Shapes:
    rows = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{row}": (channels,) for row in rows} | {f"{name}.num_batches_tracked": ()}


def conv_shapes(name: str, out: int, channels_in: int, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (out, channels_in, kernel, kernel), f"{name}.bias": (out,)}


def block_shapes(name: str, channels_in: int, out: int) -> Shapes:
    shapes = conv_shapes(f"{name}.conv1", out, channels_in) | conv_shapes(f"{name}.conv2", out, out)
    return shapes if channels_in == out else shapes | conv_shapes(f"{name}.downsample", out, channels_in)


def stm_shapes() -> Shapes:
    shapes: Shapes = {}
    for encoder in ("Encoder_M.", "Encoder_Q."):
        shapes |= {f"{encoder}mean": (1, 3, 1, 1), f"{encoder}std": (1, 3, 1, 1)}
        shapes |= trunk_shapes(encoder, 50, ("res2", "res3", "res4"))
    shapes |= {f"Encoder_M.conv1_{x}.weight": (64, 1, 7, 7) for x in "mo"}
    for side in "MQ":
        shapes |= conv_shapes(f"KV_{side}_r4.Key", 128, 1024) | conv_shapes(f"KV_{side}_r4.Value", 512, 1024)
    shapes |= conv_shapes("Decoder.convFM", 256, 1024) | block_shapes("Decoder.ResMM", 256, 256)
    for step, skip in (("RF3", 512), ("RF2", 256)):
        shapes |= conv_shapes(f"Decoder.{step}.convFS", 256, skip)
        shapes |= block_shapes(f"Decoder.{step}.ResFS", 256, 256)
        shapes |= block_shapes(f"Decoder.{step}.ResMM", 256, 256)
    return shapes | conv_shapes("Decoder.pred2", 2, 256)


def stcn_shapes() -> Shapes:
    fuser = "value_encoder.fuser."
    gate = f"{fuser}attention.ChannelGate.mlp."
    return {
        **trunk_shapes("key_encoder.", 50, ("res2", "layer2", "layer3")),
        **biased_shapes(trunk_shapes("value_encoder.", 18, ("layer1", "layer2", "layer3"), 5)),
        **block_shapes(f"{fuser}block1", 1280, 512),
        **block_shapes(f"{fuser}block2", 512, 512),
        **{f"{gate}1.weight": (32, 512), f"{gate}1.bias": (32,)},
        **{f"{gate}3.weight": (512, 32), f"{gate}3.bias": (512,)},
        **conv_shapes(f"{fuser}attention.SpatialGate.spatial.conv", 1, 2, 7),
        **conv_shapes("key_proj.key_proj", 64, 1024),
        **conv_shapes("key_comp", 512, 1024),
        **block_shapes("decoder.compress", 1024, 512),
        **conv_shapes("decoder.up_16_8.skip_conv", 512, 512),
        **block_shapes("decoder.up_16_8.out_conv", 512, 256),
        **conv_shapes("decoder.up_8_4.skip_conv", 256, 256),
        **block_shapes("decoder.up_8_4.out_conv", 256, 256),
        **conv_shapes("decoder.pred", 1, 256),
    }


def random_weights(shapes: Shapes, seed: int, key_gain: float) -> Weights:
    """Random tensors that keep activations near 1; BatchNorm statistics are random too."""
    g = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
        elif name.endswith((".mean", ".std")):
            weights[name] = (MEAN if name.endswith(".mean") else STD).clone()
        elif name.endswith(("running_var", "running_mean", "bias")):
            value = torch.rand(shape, generator=g)
            weights[name] = 0.5 + value if name.endswith("running_var") else 0.4 * value - 0.2
        elif len(shape) == 1:
            weights[name] = 0.4 + 0.4 * torch.rand(shape, generator=g)
        else:
            gain = key_gain if "Key." in name or "key_proj" in name else 1.1
            weights[name] = gain * torch.randn(shape, generator=g) / math.sqrt(math.prod(shape[1:]))
    return weights


def conv(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w.get(f"{name}.bias"), stride, weight.shape[-1] // 2)


def norm(w: Weights, name: str, x: Tensor) -> Tensor:
    rows = [w[f"{name}.{row}"] for row in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *rows)


def layer(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    """One layer of residual blocks; the stride is that of the first block's (first) 3×3 convolution."""
    i = 0
    while f"{name}.{i}.conv1.weight" in w:
        at, step = f"{name}.{i}", stride if i == 0 else 1
        last = 3 if f"{at}.conv3.weight" in w else 2
        out = x
        for n in range(1, last + 1):
            strided = n == (2 if last == 3 else 1)
            out = norm(w, f"{at}.bn{n}", conv(w, f"{at}.conv{n}", out, step if strided else 1))
            out = out.relu() if n < last else out
        if f"{at}.downsample.0.weight" in w:
            x = norm(w, f"{at}.downsample.1", conv(w, f"{at}.downsample.0", x, step))
        x, i = (out + x).relu(), i + 1
    return x


def trunk(w: Weights, prefix: str, stem: Tensor, layers: tuple[str, ...]) -> list[Tensor]:
    x = F.max_pool2d(norm(w, f"{prefix}bn1", stem).relu(), 3, 2, 1)
    features = []
    for name, stride in zip(layers, (1, 2, 2), strict=True):
        x = layer(w, prefix + name, x, stride)
        features.append(x)
    return features


def block(w: Weights, name: str, x: Tensor) -> Tensor:
    out = conv(w, f"{name}.conv2", conv(w, f"{name}.conv1", x.relu()).relu())
    return out + (conv(w, f"{name}.downsample", x) if f"{name}.downsample.weight" in w else x)


def up(x: Tensor, scale: int) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def aggregated(objects: list[Tensor], channels: int) -> Tensor:
    """Softmax over background, objects and empty channels up to ``channels`` in all."""
    background = torch.stack([1 - p for p in objects]).prod(0)
    empty = [torch.zeros_like(background)] * (channels - 1 - len(objects))
    p = torch.stack([background, *objects, *empty]).clamp(1e-7, 1 - 1e-7)
    return (p / (1 - p)).log().softmax(0)


def borders(height: int, width: int) -> tuple[int, int, int, int]:
    h, w = -height % 16, -width % 16
    return w // 2, w - w // 2, h // 2, h - h // 2


def cut(x: Tensor, height: int, width: int) -> Tensor:
    left, _, top, _ = borders(height, width)
    return x[..., top : top + height, left : left + width]


def run_stm(w: Weights, frames: list[Tensor], first: list[Tensor], every: int) -> list[Tensor]:
    """Probabilities (objects + 1, H, W) of every frame; ``frames`` (1, 3, H, W), ``first`` masks (H, W)."""
    height, width = frames[0].shape[-2:]
    pad, layers = borders(height, width), ("res2", "res3", "res4")
    shown, results, kept = first, [], []
    for t, frame in enumerate(frames):
        image = F.pad(frame, pad)
        if t == 0:
            results.append(aggregated(first, 11)[: len(first) + 1])
            continue
        before = (F.pad(frames[t - 1], pad) - w["Encoder_M.mean"]) / w["Encoder_M.std"]
        memory = []
        for o in range(len(first)):
            mask = F.pad(shown[o], pad)[None, None]
            rest = sum((shown[j] for j in range(len(first)) if j != o), torch.zeros_like(shown[o]))
            rest = F.pad(rest.clamp(0, 1), pad)[None, None]
            stem = conv(w, "Encoder_M.conv1", before, 2) + conv(w, "Encoder_M.conv1_m", mask, 2)
            r4 = trunk(w, "Encoder_M.", stem + conv(w, "Encoder_M.conv1_o", rest, 2), layers)[-1]
            memory.append((conv(w, "KV_M_r4.Key", r4)[0], conv(w, "KV_M_r4.Value", r4)[0]))
        held = [*kept, memory]
        stem = conv(w, "Encoder_Q.conv1", (image - w["Encoder_Q.mean"]) / w["Encoder_Q.std"], 2)
        r2, r3, r4 = trunk(w, "Encoder_Q.", stem, layers)
        query, own = conv(w, "KV_Q_r4.Key", r4)[0], conv(w, "KV_Q_r4.Value", r4)
        found = []
        for o in range(len(first)):
            keys = torch.cat([m[o][0].flatten(1) for m in held], 1)
            values = torch.cat([m[o][1].flatten(1) for m in held], 1)
            attention = (keys.T @ query.flatten(1) / math.sqrt(128)).softmax(0)
            read = (values @ attention).view_as(own)
            x = block(w, "Decoder.ResMM", conv(w, "Decoder.convFM", torch.cat([read, own], 1)))
            for step, skip in (("RF3", r3), ("RF2", r2)):
                s = block(w, f"Decoder.{step}.ResFS", conv(w, f"Decoder.{step}.convFS", skip))
                x = block(w, f"Decoder.{step}.ResMM", s + up(x, 2))
            found.append(up(conv(w, "Decoder.pred2", x.relu()), 4).softmax(1)[0, 1])
        result = cut(aggregated(found, 11), height, width)[: len(first) + 1]
        results.append(result)
        shown = list(result[1:])
        if (t - 1) % every == 0:
            kept = held
    return results


def cbam(w: Weights, name: str, x: Tensor) -> Tensor:
    def mlp(v: Tensor) -> Tensor:
        hidden = F.linear(v, w[f"{name}ChannelGate.mlp.1.weight"], w[f"{name}ChannelGate.mlp.1.bias"]).relu()
        return F.linear(hidden, w[f"{name}ChannelGate.mlp.3.weight"], w[f"{name}ChannelGate.mlp.3.bias"])

    gate = (mlp(x.flatten(2).mean(-1)) + mlp(x.flatten(2).max(-1)[0])).sigmoid()
    x = x * gate[:, :, None, None]
    pooled = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)
    return x * conv(w, f"{name}SpatialGate.spatial.conv", pooled).sigmoid()


def run_stcn(w: Weights, frames: list[Tensor], first: list[Tensor], every: int) -> list[Tensor]:
    """Like ``run_stm``: normalisation before padding, results kept at the padded size until the end."""
    height, width = frames[0].shape[-2:]
    pad = borders(height, width)
    results, keys, values = [], [], []
    for t, frame in enumerate(frames):
        image = F.pad((frame - MEAN) / STD, pad)
        layers = ("res2", "layer2", "layer3")
        f4, f8, f16 = trunk(w, "key_encoder.", conv(w, "key_encoder.conv1", image, 2), layers)
        query, own = conv(w, "key_proj.key_proj", f16)[0], conv(w, "key_comp", f16)
        if t == 0:
            found = [F.pad(m, pad) for m in first]
        else:
            k = torch.cat(keys, 1)
            affinity = (2 * (k.T @ query.flatten(1)) - k.square().sum(0)[:, None]) / math.sqrt(64)
            best, at = affinity.topk(20, dim=0)
            weights = torch.zeros_like(affinity).scatter(0, at, best.exp() / best.exp().sum(0))
            found = []
            for o in range(len(first)):
                read = (torch.cat([v[o] for v in values], 1) @ weights).view_as(own)
                x = block(w, "decoder.compress", torch.cat([read, own], 1))
                for step, skip in (("up_16_8", f8), ("up_8_4", f4)):
                    x = conv(w, f"decoder.{step}.skip_conv", skip) + up(x, 2)
                    x = block(w, f"decoder.{step}.out_conv", x)
                found.append(up(conv(w, "decoder.pred", x.relu()), 4).sigmoid()[0, 0])
        result = aggregated(found, len(first) + 1)
        results.append(cut(result, height, width))
        if t % every:
            continue
        keys.append(query.flatten(1))
        values.append([])
        for o in range(len(first)):
            rest = sum((result[1 + j] for j in range(len(first)) if j != o), torch.zeros_like(result[0]))
            x = torch.cat([image[0], result[None, 1 + o], rest[None]])[None]
            stem = conv(w, "value_encoder.conv1", x, 2)
            x = trunk(w, "value_encoder.", stem, ("layer1", "layer2", "layer3"))[-1]
            x = block(w, "value_encoder.fuser.block1", torch.cat([x, f16], 1))
            x = x + cbam(w, "value_encoder.fuser.attention.", x)
            values[-1].append(block(w, "value_encoder.fuser.block2", x)[0].flatten(1))
    return results
