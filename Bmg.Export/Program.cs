return Bmg.Export.CommandLine.ExportCli.Run(args);
