using System.Net;
using Bmg.Export;

namespace Bmg.Training.Reporting;

/// <summary>Text inside of HTML and SVG.</summary>
internal static class XmlText
{
    /// <summary>The text as content or as the value of an attribute; what neither format can hold, such as U+0000, is written as its code.</summary>
    public static string Escape(string text) => WebUtility.HtmlEncode(Printable.Lines(text));
}
