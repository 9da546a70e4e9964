"""PyTorch's functions of the elementwise operators of one number, by the operator's name. What they give is a case of ops/, where there are others;
their gradients in a compiled step are one of library/."""
import torch
import torch.nn.functional as F



def gelu_slope(x):
    return torch.ops.aten.gelu_backward(torch.ones_like(x), x)


OF_ANY = dict(
    neg=torch.neg, abs=torch.abs, sign=torch.sign, floor=torch.floor, ceil=torch.ceil, round=torch.round,
    exp=torch.exp, exp2=torch.exp2, expm1=torch.expm1, sin=torch.sin, cos=torch.cos,
    tanh=torch.tanh, sigmoid=torch.sigmoid, silu=F.silu, gelu=F.gelu, gelu_slope=gelu_slope, erf=torch.erf,
)
OF_POSITIVES = dict(log=torch.log, log1p=torch.log1p, sqrt=torch.sqrt)
