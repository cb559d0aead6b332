using Bmg.Training.Configuration;

if (args[0] == "schema")
{
    Console.Write(ConfigurationSchema.Text());
    return 0;
}
try
{
    Console.Write(ConfigurationReader.ReadFile(args[0], args[1..]).ToJson());
}
catch (ConfigurationException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}
return 0;
