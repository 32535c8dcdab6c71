import torch
from torch import nn

from tamperscope.train.ema import Ema


def test_average_follows_the_warmed_up_decay_statistics_included() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    nn.init.zeros_(network[0].weight)
    ema = Ema(network, decay=0.5)
    nn.init.ones_(network[0].weight)
    network[1].running_mean += 3.0
    network[1].num_batches_tracked += 7
    expected = 0.0
    for n in (1, 2, 3, 20):
        ema.updates = n - 1
        ema.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay)
        torch.testing.assert_close(ema.module[0].weight.item(), expected, rtol=1e-6, atol=0)
    # Batch-norm statistics trail as their weights do; counters are copied.
    torch.testing.assert_close(ema.module[1].running_mean.item(), 3.0 * expected, rtol=1e-6, atol=0)
    assert ema.module[1].num_batches_tracked.item() == 7
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())
