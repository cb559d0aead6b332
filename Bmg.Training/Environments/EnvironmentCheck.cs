using System.Runtime.InteropServices;

namespace Bmg.Training.Environments;

/// <summary>
/// Says what is wrong with an environment: plays it with random actions that it allows, plays the same again in other instances, beside
/// others, from saved states and while it is drawn, and compares all of it bit for bit. For tests and the command line.
/// </summary>
public sealed class EnvironmentCheck
{
    private const int SavedMoments = 5;
    private const int DrawnMoments = 200;
    private const int MostChanges = 10_000;

    /// <summary>A number that no environment writes: a NaN with bits of its own.</summary>
    private static readonly float Unwritten = BitConverter.Int32BitsToSingle(0x7FC5_A5A5);

    private readonly Func<IEnvironment> _create;
    private readonly int _steps;
    private readonly Seed _seed;
    private readonly List<EnvironmentFinding> _findings = [];
    private readonly List<string> _checked = [];
    private readonly List<Moment> _moments = [];
    private EnvironmentDescription _description = null!;
    private float[] _observation = [];
    private bool[] _mask = [];
    private long _played;
    private long _episodes;
    private long _truncated;
    private long _endedSteps;

    private EnvironmentCheck(Func<IEnvironment> create, int steps, Seed seed) =>
        (_create, _steps, _seed) = (create, steps, seed);

    /// <summary>Checks an environment.</summary>
    /// <param name="create">Makes an instance; all of the same settings and the same seed.</param>
    /// <param name="steps">Steps to play in each pass; positive. There are up to some ten passes.</param>
    /// <param name="seed">What the generator and the actions start from.</param>
    /// <returns>What is wrong and what was looked at. It throws nothing that the environment throws.</returns>
    public static EnvironmentReport Run(Func<IEnvironment> create, int steps, Seed seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        var check = new EnvironmentCheck(create, steps, seed);
        check.Judge();
        return new EnvironmentReport(check._findings, check._checked, check._played, check._episodes);
    }

    private void Judge()
    {
        IEnvironment environment = null!;
        if (
            !Attempt(EnvironmentRule.Throws, "its factory", "an instance", () => environment = Create())
            || !Attempt(EnvironmentRule.Throws, "Description", "a description", () => JudgeDescription(environment))
            || !_findings.TrueForAll(finding => finding.IsAdvice)
        )
        {
            return;
        }

        _observation = new float[_description.Observation.Size];
        _mask = new bool[_description.Actions.MaskSize];
        Play(environment);
        JudgeSameDescription(environment, "Description after the run");
        if (
            Repeats(EnvironmentRule.Determinism, "played again", Alone)
            && Repeats(EnvironmentRule.Independence, "played beside another", Beside)
        )
        {
            Phase(JudgeSave);
            Phase(JudgeRender);
        }

        Phase(JudgeResets);
        Phase(JudgeOutside);
        Phase(JudgeChanges);
        Phase(JudgeSilentOptions);

        // What an environment throws is caught where it is called; this is for a factory that fails the next time.
        void Phase(Action judge) => Attempt(EnvironmentRule.Throws, "its factory, called again", "an instance", judge);
    }

    private IEnvironment Create() => _create() ?? throw new InvalidOperationException("the factory gave null");

    private void Find(EnvironmentRule rule, string place, string found, string expected, bool advice = false)
    {
        if (!_findings.Exists(known => known.Rule == rule && known.Expected == expected))
        {
            _findings.Add(new EnvironmentFinding(rule, place, found, expected) { IsAdvice = advice });
        }
    }

    /// <summary>Does something; what is thrown becomes a finding.</summary>
    private bool Attempt(EnvironmentRule rule, string place, string expected, Action body)
    {
        try
        {
            body();
            return true;
        }
        catch (Exception e)
        {
            Find(rule, place, $"{e.GetType().Name}: {e.Message}", expected);
            return false;
        }
    }

    private void JudgeDescription(IEnvironment environment)
    {
        _description = environment.Description ?? throw new InvalidOperationException("Description is null");
        _findings.AddRange(DescriptionRules.Faults(_description));
        JudgeSameDescription(environment, "Description, asked for again");
        JudgeSameDescription(Create(), "Description of another instance");
        _checked.Add($"description: observation {_description.Observation}; actions: {_description.Actions}");
    }

    private void JudgeSameDescription(IEnvironment environment, string place) =>
        Attempt(
            EnvironmentRule.Throws,
            place,
            "a description",
            () =>
            {
                if (DescriptionRules.Difference(environment.Description, _description) is var (part, found, expected))
                {
                    Find(EnvironmentRule.Description, $"{place}, {part}", found, $"{expected}, as at first");
                }
            }
        );

    // Playing.

    /// <summary>A step or a reset: what was done and what came of it.</summary>
    /// <param name="Step">Steps so far, this one included.</param>
    /// <param name="IsReset">Whether it is a reset.</param>
    /// <param name="Indices">Discrete actions.</param>
    /// <param name="Values">Continuous actions.</param>
    private sealed record Moment(long Step, bool IsReset, int[] Indices, float[] Values)
    {
        public Outcome Outcome { get; set; }

        public string Place => IsReset ? $"reset after step {Step}" : $"step {Step}";

        public EnvironmentAction Action =>
            Values.Length > 0 ? EnvironmentAction.Of(Values) : EnvironmentAction.Of(Indices);
    }

    /// <summary>What came of a moment, bit for bit.</summary>
    private readonly record struct Outcome(int Reward, StepResult Result, int Observation, int Mask, ulong Random)
    {
        public string Against(Outcome other) =>
            Reward != other.Reward || Result != other.Result ? $"{Shown} in place of {other.Shown}"
            : Observation != other.Observation ? "other numbers in the observation"
            : Mask != other.Mask ? "another mask"
            : "another number of draws from the generator";

        private string Shown =>
            $"reward {Result.Reward:R}{(Result.Terminated ? ", terminated" : "")}{(Result.Truncated ? ", truncated" : "")}";
    }

    /// <summary>Does a moment. Throws what the environment throws.</summary>
    private Outcome Do(IEnvironment environment, Moment moment, Rng generator)
    {
        Array.Fill(_observation, Unwritten);
        var result = default(StepResult);
        if (moment.IsReset)
        {
            environment.Reset(generator, _observation);
        }
        else
        {
            result = environment.Step(generator, moment.Action, _observation);
        }

        Array.Fill(_mask, true);
        if (_description.Masks && !result.Ended)
        {
            environment.Mask(_mask);
        }

        return new Outcome(
            BitConverter.SingleToInt32Bits(result.Reward),
            result,
            Digest(MemoryMarshal.AsBytes(_observation.AsSpan())),
            Digest(MemoryMarshal.AsBytes(_mask.AsSpan())),
            generator.State
        );
    }

    private static int Digest(ReadOnlySpan<byte> bytes)
    {
        var hash = new HashCode();
        hash.AddBytes(bytes);
        return hash.ToHashCode();
    }

    /// <summary>The next thing to do: a reset at first and after an end, else an action that the mask allows.</summary>
    private Moment Choose(Moment? last, Rng actions, bool[] mask)
    {
        if (last is null || last.Outcome.Result.Ended)
        {
            return new Moment(last?.Step ?? 0, true, [], []);
        }

        var space = _description.Actions;
        var indices = new int[space.DiscreteCount];
        var first = 0;
        for (var i = 0; i < indices.Length; i++)
        {
            var choices = space.ChoicesOf(i);
            do
            {
                indices[i] = actions.Next(choices);
            } while (!mask[first + indices[i]]);

            first += choices;
        }

        float[] values = space is ActionSpace.Continuous continuous
            ?
            [
                .. continuous.Actions.Select(bounds =>
                    actions.Next(4) switch
                    {
                        0 => bounds.Low,
                        1 => bounds.High,
                        _ => Math.Clamp(
                            (float)(bounds.Low + ((double)bounds.High - bounds.Low) * actions.NextDouble()),
                            bounds.Low,
                            bounds.High
                        ),
                    }
                ),
            ]
            : [];
        return new Moment(last.Step + 1, false, indices, values);
    }

    private Rng Start => _seed.For("environment").Generator();

    private void Play(IEnvironment environment)
    {
        var actions = _seed.For("actions").Generator();
        var random = Start;
        Moment? last = null;
        long begun = 0;
        while (_played < _steps || last is { Outcome.Result.Ended: true })
        {
            var moment = Choose(last, actions, _mask);
            if (
                !Attempt(
                    EnvironmentRule.Throws,
                    moment.Place,
                    "no exception",
                    () => moment.Outcome = Do(environment, moment, random)
                )
            )
            {
                break;
            }

            _moments.Add(moment);
            _played = moment.Step;
            last = moment;
            JudgeObservation(moment);
            JudgeResult(moment);
            if (moment.Outcome.Result.Ended)
            {
                _episodes++;
                _truncated += moment.Outcome.Result.Truncated ? 1 : 0;
                _endedSteps += moment.Step - begun;
                begun = moment.Step;
            }
            else if (!MaskIsUsable(environment, moment))
            {
                break;
            }
        }

        _checked.Add(
            _episodes == 0
                ? $"played {_played} steps; no episode ended"
                : $"played {_played} steps; {_episodes} episodes ended, {_truncated} of them truncated, mean length {(double)_endedSteps / _episodes:F1}"
        );
        var space = _description.Actions;
        var taken = Enumerable
            .Range(0, space.DiscreteCount)
            .Sum(i => _moments.Where(m => !m.IsReset).Select(m => m.Indices[i]).Distinct().Count());
        _checked.Add(
            space.DiscreteCount > 0
                ? $"actions: {taken} of {space.MaskSize} choices were taken"
                : "actions: bounds and values between them were taken"
        );
    }

    private void JudgeObservation(Moment moment)
    {
        var space = _description.Observation;
        var unwritten = Array.FindIndex(
            _observation,
            number => BitConverter.SingleToInt32Bits(number) == BitConverter.SingleToInt32Bits(Unwritten)
        );
        if (unwritten >= 0)
        {
            Find(
                EnvironmentRule.Observation,
                $"{moment.Place}, {space.NameOf(unwritten)}",
                "not written",
                $"all {space.Size} numbers written"
            );
        }
        else if (space.Flaw(_observation) is var (place, found, expected))
        {
            Find(EnvironmentRule.Observation, $"{moment.Place}, {place}", found, expected);
        }
    }

    private void JudgeResult(Moment moment)
    {
        var result = moment.Outcome.Result;
        if (!float.IsFinite(result.Reward))
        {
            Find(EnvironmentRule.Reward, moment.Place, $"{result.Reward}", "a finite number");
        }

        if (result.Ended && !_description.Ends)
        {
            Find(
                EnvironmentRule.Ends,
                moment.Place,
                "the end of an episode",
                "none, since its description says that it has none (Ends)"
            );
        }

        if (result.Terminated && result.Truncated)
        {
            Find(
                EnvironmentRule.Ends,
                moment.Place,
                "terminated and truncated",
                "one of them: nothing can follow, or it was cut off",
                advice: true
            );
        }
    }

    private bool MaskIsUsable(IEnvironment environment, Moment moment)
    {
        var mask = new bool[_mask.Length];
        if (!_description.Masks)
        {
            return true;
        }

        if (
            !Attempt(EnvironmentRule.Throws, $"Mask after {moment.Place}", "no exception", () => environment.Mask(mask))
        )
        {
            return false;
        }

        // The first time the entries were true before the call, the second time false.
        var differs = mask.AsSpan().CommonPrefixLength(_mask);
        if (differs < mask.Length)
        {
            Find(
                EnvironmentRule.Mask,
                $"Mask after {moment.Place}, entry {differs}",
                "not written",
                $"all {mask.Length} entries written"
            );
        }

        var none = _description.Actions.WithoutChoice(_mask);
        if (none >= 0)
        {
            Find(
                EnvironmentRule.Mask,
                $"Mask after {moment.Place}, action {none}",
                "no choice allowed",
                "at least one"
            );
        }

        return none < 0;
    }

    // Playing the same again.

    private bool Repeats(EnvironmentRule rule, string how, Action<EnvironmentRule, string> play)
    {
        var before = _findings.Count;
        Attempt(rule, how, "what happened at first", () => play(rule, how));
        var repeats = _findings.Count == before;
        _checked.Add(
            $"{(rule == EnvironmentRule.Determinism ? "determinism" : "independence")}: {how}, {(repeats ? "the same numbers" : "not the same")}"
        );
        return repeats;
    }

    /// <summary>Does moments again, and says whether all went as at first. Each has a generator object of its own, so that one kept from earlier
    /// calls shows.</summary>
    private bool Follows(
        EnvironmentRule rule,
        string how,
        IEnvironment environment,
        int first,
        int count,
        Action<int>? afterwards = null
    )
    {
        for (var i = first; i < first + count; i++)
        {
            var moment = _moments[i];
            var outcome = default(Outcome);
            if (
                !Attempt(
                    rule,
                    $"{moment.Place}, {how}",
                    "what happened at first",
                    () => outcome = Do(environment, moment, i == 0 ? Start : new Rng(_moments[i - 1].Outcome.Random))
                )
            )
            {
                return false;
            }

            if (outcome != moment.Outcome)
            {
                Find(rule, $"{moment.Place}, {how}", outcome.Against(moment.Outcome), "what happened at first");
                return false;
            }

            if (
                afterwards is not null
                && !Attempt(rule, $"after {moment.Place}, {how}", "no exception", () => afterwards(i))
            )
            {
                return false;
            }
        }

        return true;
    }

    private void Alone(EnvironmentRule rule, string how) => Follows(rule, how, Create(), 0, _moments.Count);

    private void Beside(EnvironmentRule rule, string how)
    {
        var other = Create();
        var actions = _seed.For("other actions").Generator();
        var random = _seed.For("other environment").Generator();
        var mask = new bool[_mask.Length];
        Moment? last = null;
        var plays = true;
        Disturb();
        Follows(rule, how, Create(), 0, _moments.Count, _ => Disturb());

        // The other's own faults were found when it was played alone, or will be found in another run.
        void Disturb()
        {
            if (!plays)
            {
                return;
            }

            var moment = Choose(last, actions, mask);
            try
            {
                moment.Outcome = Do(other, moment, random);
                _mask.CopyTo(mask, 0);
                last = moment;
                plays = _description.Actions.WithoutChoice(mask) < 0;
            }
            catch (Exception)
            {
                plays = false;
            }
        }
    }

    // Options.

    private void JudgeSave()
    {
        if (!_description.Saves)
        {
            _checked.Add("save: it cannot be saved; a resumed run starts a fresh episode");
            return;
        }

        var chances = _seed.For("saves").Generator();
        var saved = new HashSet<int> { 0 };
        for (var i = 1; i < SavedMoments && _moments.Count > 0; i++)
        {
            saved.Add(chances.Next(_moments.Count));
        }

        byte[]? state = null;
        var restored = 0;
        var environment = Create();
        Follows(
            EnvironmentRule.Save,
            "saved now and then",
            environment,
            0,
            _moments.Count,
            i =>
            {
                var place = $"saved after {_moments[i].Place}";
                if (!saved.Contains(i) || _moments[i].Outcome.Result.Ended)
                {
                    return;
                }

                state = Saved(environment);
                if (!state.AsSpan().SequenceEqual(Saved(environment)))
                {
                    Find(EnvironmentRule.Save, place, "other bytes when saved again", "the same bytes");
                }

                var fresh = Create();
                using var reader = new BinaryReader(new MemoryStream(state, writable: false));
                fresh.Restore(reader);
                if (reader.BaseStream.Position != state.Length)
                {
                    Find(
                        EnvironmentRule.Save,
                        $"restored as {place}",
                        $"{reader.BaseStream.Position} bytes read",
                        "all bytes read that were written"
                    );
                    return;
                }

                restored++;
                Follows(EnvironmentRule.Save, $"restored as {place}", fresh, i + 1, _moments.Count - i - 1);
            }
        );
        _checked.Add($"save: {state?.Length ?? 0} bytes; restored at {restored} moments and played to the end");
        if (state is not null && !_findings.Exists(finding => finding.Rule == EnvironmentRule.Save))
        {
            JudgeRestore(state);
        }
    }

    private static byte[] Saved(IEnvironment environment)
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream))
        {
            environment.Save(writer);
        }

        return stream.ToArray();
    }

    private void JudgeRestore(byte[] state)
    {
        var random = _seed.For("bytes").Generator();
        var tried = 0;
        foreach (var length in new[] { 0, state.Length / 2, state.Length - 1 }.Where(l => l >= 0 && l < state.Length))
        {
            Refuse($"the first {length} of {state.Length} bytes", state[..length], mustRefuse: true);
        }

        Refuse("bytes of ones", [.. state.Select(_ => byte.MaxValue)], mustRefuse: false);
        for (var i = 0; i < 3; i++)
        {
            Refuse("random bytes", [.. state.Select(_ => (byte)random.Next(256))], mustRefuse: false);
        }

        _checked.Add($"restore: {tried} states of wrong bytes");

        // Whole bytes may happen to be a state; too few cannot be one.
        void Refuse(string what, byte[] bytes, bool mustRefuse)
        {
            const string Expected = "an ArgumentException, or the reader's EndOfStreamException";
            tried++;
            try
            {
                using var reader = new BinaryReader(new MemoryStream(bytes, writable: false));
                Create().Restore(reader);
            }
            catch (Exception e)
            {
                if (e is not (ArgumentException or EndOfStreamException))
                {
                    Find(
                        EnvironmentRule.Restore,
                        $"restored from {what}",
                        $"{e.GetType().Name}: {e.Message}",
                        Expected
                    );
                }

                return;
            }

            if (mustRefuse)
            {
                Find(EnvironmentRule.Restore, $"restored from {what}", "no exception", Expected);
            }
        }
    }

    private void JudgeRender()
    {
        if (!_description.Renders)
        {
            return;
        }

        var environment = Create();
        var drawn = Math.Min(_moments.Count, DrawnMoments);
        Follows(
            EnvironmentRule.Render,
            "drawn after each step",
            environment,
            0,
            drawn,
            i =>
            {
                if (string.IsNullOrWhiteSpace(environment.Render()))
                {
                    Find(EnvironmentRule.Render, $"drawn after {_moments[i].Place}", "no text", "some text");
                }
            }
        );
        _checked.Add($"render: drawn {drawn} times");
    }

    private void JudgeResets()
    {
        if (_moments.Count == 0)
        {
            return;
        }

        var environment = Create();
        var random = Start;
        Again("reset at once after a reset");
        Again("reset at once after a reset");
        if (_moments.Count > 1 && _description.Actions.WithoutChoice(_mask) < 0)
        {
            var step = Choose(_moments[0], _seed.For("actions").Generator(), _mask);
            if (
                Attempt(
                    EnvironmentRule.Reset,
                    "step after two resets",
                    "no exception",
                    () => Do(environment, step, random)
                )
            )
            {
                Again("reset in the middle of an episode");
            }
        }

        _checked.Add("reset: at once after a reset, and in the middle of an episode");

        void Again(string place) =>
            Attempt(EnvironmentRule.Reset, place, "an episode that starts", () => Do(environment, _moments[0], random));
    }

    private void JudgeOutside()
    {
        if (_moments.Count < 2)
        {
            return;
        }

        var space = _description.Actions;
        var tried = 0;
        for (var i = 0; i < space.DiscreteCount; i++)
        {
            Refuse(i, -1);
            Refuse(i, space.ChoicesOf(i));
        }

        if (space is ActionSpace.Continuous continuous)
        {
            for (var i = 0; i < continuous.Actions.Count; i++)
            {
                var (_, low, high) = continuous.Actions[i];
                Refuse(i, low - (high - low));
                Refuse(i, high + (high - low));
                Refuse(i, float.NaN);
            }
        }

        _checked.Add($"actions: {tried} outside its space");

        void Refuse(int action, float value)
        {
            const string Expected = "an ArgumentOutOfRangeException, as Description.Actions.Require(action) throws it";
            tried++;
            var place = FormattableString.Invariant($"value {value} of action {action}, which is none of its own,");
            var environment = Create();
            try
            {
                var random = Start;
                Do(environment, _moments[0], random);
                var allowed = Choose(_moments[0], _seed.For("actions").Generator(), _mask);
                var moment = allowed with { Indices = [.. allowed.Indices], Values = [.. allowed.Values] };
                if (space.DiscreteCount > 0)
                {
                    moment.Indices[action] = (int)value;
                }
                else
                {
                    moment.Values[action] = value;
                }

                Do(environment, moment, random);
            }
            catch (Exception e)
            {
                if (e is not (ArgumentException or IndexOutOfRangeException))
                {
                    Find(EnvironmentRule.Actions, place, $"{e.GetType().Name}: {e.Message}", Expected, advice: true);
                }

                return;
            }

            Find(EnvironmentRule.Actions, place, "accepted", Expected, advice: true);
        }
    }

    private void JudgeChanges()
    {
        var environment = Create();
        long until = Math.Max(_steps, 1_000_000),
            middle = until / 3;
        var all = new List<long>();
        if (
            !Attempt(
                EnvironmentRule.Changes,
                $"changes up to step {until}",
                "no exception",
                () => all = [.. environment.Changes(0, until).Take(MostChanges)]
            )
        )
        {
            return;
        }

        var last = 0L;
        foreach (var change in all)
        {
            if (change <= last || change > until)
            {
                Find(
                    EnvironmentRule.Changes,
                    $"changes up to step {until}",
                    $"{change} after {last}",
                    "steps in order, above the first asked for and at most the second"
                );
                return;
            }

            last = change;
        }

        var known = all.Count < MostChanges ? until : last;
        middle = Math.Min(middle, known);
        Attempt(
            EnvironmentRule.Changes,
            $"changes after step {middle}",
            "no exception",
            () =>
            {
                List<long> parts =
                [
                    .. environment.Changes(0, middle).Take(MostChanges),
                    .. environment.Changes(middle, known).Take(MostChanges),
                ];
                if (!parts.SequenceEqual(all))
                {
                    Find(
                        EnvironmentRule.Changes,
                        $"changes up to step {middle} and from there to {known}",
                        $"{parts.Count}",
                        $"the {all.Count} of the whole"
                    );
                }
            }
        );
        _checked.Add(
            all.Count < MostChanges ? $"changes: {all.Count} up to step {until}" : $"changes: the first {all.Count}"
        );
    }

    /// <summary>Options that the environment has and does not name: nobody would use them.</summary>
    private void JudgeSilentOptions()
    {
        if (_moments.Count == 0)
        {
            return;
        }

        if (!_description.Saves)
        {
            Silent("Saves", environment => Saved(environment).Length > 0);
        }

        if (!_description.Renders)
        {
            Silent("Renders", environment => environment.Render().Length > 0);
        }

        if (!_description.Masks)
        {
            Silent(
                "Masks",
                environment =>
                {
                    Array.Fill(_mask, true);
                    environment.Mask(_mask);
                    return _mask.Contains(false);
                }
            );
        }

        void Silent(string option, Func<IEnvironment, bool> has)
        {
            try
            {
                var environment = Create();
                Do(environment, _moments[0], Start);
                if (has(environment))
                {
                    Find(
                        EnvironmentRule.Description,
                        option,
                        "false, though it can",
                        $"{option} = true, or it is never used",
                        advice: true
                    );
                }
            }
            catch (Exception)
            {
                // It has not that option.
            }
        }
    }
}
