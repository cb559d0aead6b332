using System.Collections;
using System.Reflection;
using System.Text.Json.Serialization;

namespace Bmg.Training.Catalogues;

/// <summary>A part that a configuration uses, and who brought it.</summary>
/// <param name="Path">Where it stands ("learner.optimizer", "wrappers.0").</param>
/// <param name="Kind">Its kind ("optimizer").</param>
/// <param name="Name">Its name in the catalogue ("adam").</param>
/// <param name="Assembly">Name of the assembly that brings it.</param>
/// <param name="Version">Version of that assembly.</param>
public sealed record UsedPart(string Path, string Kind, string Name, string Assembly, string Version)
{
    /// <summary>Its version without the commit that it was built at.</summary>
    [JsonIgnore]
    public string Release => Version.Split('+', 2)[0];

    /// <summary>Every part of a configuration, those inside others after them. A part that is not bound is left out: who brings it is not
    /// known.</summary>
    /// <param name="settings">The configuration, or any record of settings.</param>
    public static IReadOnlyList<UsedPart> Of(object settings)
    {
        return
        [
            .. Parts(settings)
                .Select(each =>
                {
                    var (assembly, version) = each.Part.Definition!.Origin;
                    return new UsedPart(each.Path, each.Part.Kind, each.Part.Name, assembly, version);
                }),
        ];
    }

    /// <summary>The same parts themselves, each with where it stands.</summary>
    internal static IReadOnlyList<(string Path, Part Part)> Parts(object settings)
    {
        var found = new List<(string, Part)>();
        Add(settings, "", found);
        return found;
    }

    /// <summary>The part and who brings it: environment "corridor" of corridor 1.0.0.</summary>
    public override string ToString() => $"{Kind} \"{Name}\" of {Assembly} {Version}";

    private static void Add(object settings, string path, List<(string Path, Part Part)> found)
    {
        foreach (var (name, property) in SettingsRecord.Settings(settings.GetType()))
        {
            var isInlined = property.GetCustomAttribute<PartOfAttribute>() is { Inlined: true };
            var at =
                isInlined ? path
                : path.Length == 0 ? name
                : $"{path}.{name}";
            switch (property.GetValue(settings))
            {
                case Part part:
                    AddPart(part, at, found);
                    break;
                case IEnumerable list and not string:
                    var i = 0;
                    foreach (var item in list)
                    {
                        if (item is Part part)
                        {
                            AddPart(part, $"{at}.{i}", found);
                        }
                        else if (item is not null && HasSettings(item))
                        {
                            Add(item, $"{at}.{i}", found);
                        }

                        i++;
                    }

                    break;
                case { } inner when HasSettings(inner):
                    Add(inner, at, found);
                    break;
            }
        }
    }

    private static void AddPart(Part part, string path, List<(string Path, Part Part)> found)
    {
        if (part is { Definition: not null, Settings: { } settings })
        {
            found.Add((path, part));
            Add(settings, path, found);
        }
    }

    private static bool HasSettings(object value) => !value.GetType().IsPrimitive && value is not (Enum or string);
}
