namespace Bmg.Export.Checkpoints;

/// <summary>Layers of a user's own by name, so that a network in a file can be made again from its description.</summary>
/// <example>
/// <code>
/// var layers = new CustomLayers().Add("scale", settings => Scale.Of(settings["factor"]));
/// </code>
/// </example>
public sealed class CustomLayers
{
    private readonly Dictionary<string, Func<IReadOnlyDictionary<string, double>, CustomLayer>> _makers = new(
        StringComparer.Ordinal
    );

    /// <summary>Names that are known, in alphabetical order.</summary>
    public IEnumerable<string> Names => _makers.Keys.Order(StringComparer.Ordinal);

    /// <summary>Adds a kind of layer; gives this object back.</summary>
    /// <param name="name">As <see cref="CustomLayer"/>'s Name.</param>
    /// <param name="make">From the settings to the layer. An ArgumentException, or a setting that is not there, says that it cannot be made.</param>
    /// <exception cref="ArgumentException">The name is empty, or taken.</exception>
    public CustomLayers Add(string name, Func<IReadOnlyDictionary<string, double>, CustomLayer> make)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(make);
        return _makers.TryAdd(name, make)
            ? this
            : throw new ArgumentException($"A layer '{name}' is there already.", nameof(name));
    }

    /// <summary>The layer of a name with its settings.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="settings">Its settings.</param>
    /// <exception cref="FormatException">There is no such layer, or it cannot be made with these settings.</exception>
    internal CustomLayer Make(string name, IReadOnlyDictionary<string, double> settings)
    {
        if (!_makers.TryGetValue(name, out var make))
        {
            throw new FormatException(
                $"the custom layer '{name}' is not known here; "
                    + (_makers.Count == 0 ? "none was added" : $"known are {string.Join(", ", Names)}")
            );
        }
        try
        {
            return make(settings);
        }
        catch (Exception exception) when (exception is ArgumentException or KeyNotFoundException)
        {
            throw new FormatException(
                $"the custom layer '{name}' cannot be made from its settings: {exception.Message.TrimEnd('.')}",
                exception
            );
        }
    }
}
