global using Tensor = TorchSharp.torch.Tensor;
