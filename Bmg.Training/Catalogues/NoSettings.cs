namespace Bmg.Training.Catalogues;

/// <summary>Settings of a part that has none.</summary>
public sealed record NoSettings;
