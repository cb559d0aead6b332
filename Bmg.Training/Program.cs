using Bmg.Training.Hosting;

return BmgHost.CreateDefault().Run(args);
