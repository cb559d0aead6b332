using System.Globalization;
using Bmg.Export.Checkpoints;

namespace Bmg.Export.Onnx;

/// <summary>What an exported model says about the run that it comes from.</summary>
internal static class CheckpointMetadata
{
    public static Dictionary<string, string> Of(CheckpointManifest manifest, int member)
    {
        NetworkExporter.RequireMember(member, manifest.Seeds.Length);
        return new Dictionary<string, string>
        {
            [MetadataKeys.LibraryVersion] = manifest.LibraryVersion,
            [MetadataKeys.Experiment] = manifest.Experiment,
            [MetadataKeys.Environment] = manifest.Policy.Environment,
            [MetadataKeys.Configuration] = manifest.Configuration,
            [MetadataKeys.Member] = member.ToString(CultureInfo.InvariantCulture),
            [MetadataKeys.Seed] = manifest.Seeds[member].ToString(CultureInfo.InvariantCulture),
            [MetadataKeys.EnvironmentSteps] = manifest.EnvironmentSteps.ToString(CultureInfo.InvariantCulture),
        };
    }
}
