using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>The ONNX form of a user's own layer, for one member.</summary>
/// <param name="site">Where the layer stands: its axes, and a path to begin the names of inner values and constants with.</param>
/// <param name="layer">The layer, with its settings.</param>
/// <param name="parameters">Its parameters, [1, …] by the layer's own names.</param>
/// <param name="input">Name of the value that goes in, [batch, …InputShape].</param>
/// <param name="output">Name of the value that must come out, [batch, …OutputShape].</param>
/// <returns>The graph; <see cref="OnnxGraph.Since"/> gives the versions of operators that the library does not know.</returns>
public delegate OnnxGraph OnnxForm(LayerSite site, CustomLayer layer, Params parameters, string input, string output);

/// <summary>ONNX forms of custom layers by the layers' names; a layer that has none is refused by name.</summary>
/// <example>
/// <code>
/// var forms = new OnnxForms().Add("sine", (site, layer, parameters, input, output) =&gt;
///     new OnnxGraph([OnnxGraph.Node("Sin", [input], output)], []) { Since = { ["Sin"] = 7 } });
/// </code>
/// </example>
public sealed class OnnxForms
{
    private readonly Dictionary<string, OnnxForm> _forms = new(StringComparer.Ordinal);

    /// <summary>Adds the form of a layer; gives this object back.</summary>
    /// <exception cref="ArgumentException">The name is empty, or taken.</exception>
    public OnnxForms Add(string name, OnnxForm form)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(form);
        return _forms.TryAdd(name, form)
            ? this
            : throw new ArgumentException($"A form of the layer '{name}' is there already.", nameof(name));
    }

    /// <summary>The form of a layer, or null.</summary>
    internal OnnxForm? Find(string name) => _forms.GetValueOrDefault(name);
}
