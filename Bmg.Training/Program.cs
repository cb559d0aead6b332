using TorchSharp;

Console.WriteLine(torch.zeros(2, 2).add(1).sum().item<float>());
return 0;
