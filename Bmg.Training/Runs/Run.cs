using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Export.CommandLine;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>How a run ended.</summary>
/// <param name="State">Finished, interrupted or failed.</param>
/// <param name="EnvironmentSteps">How far each member is, in the unit of the experiment.</param>
/// <param name="Summary">The results, when training is complete.</param>
/// <param name="Finish">What came of the export, when training is complete.</param>
/// <param name="Failure">What went wrong, when something did.</param>
/// <param name="Abandoned">Whether a meta-step, or the set-up, was given up on the way: what was done since the last checkpoint is lost, and
/// <paramref name="EnvironmentSteps"/> are that checkpoint's.</param>
public sealed record RunOutcome(
    RunState State,
    long EnvironmentSteps,
    RunSummary? Summary = null,
    FinishOutcome? Finish = null,
    Exception? Failure = null,
    bool Abandoned = false
);

/// <summary>Where a run begins.</summary>
internal enum Beginning
{
    /// <summary>At the start, in a directory of its own.</summary>
    New,

    /// <summary>At the start, in the directory of a run that was stopped before its first checkpoint.</summary>
    Again,

    /// <summary>At a checkpoint.</summary>
    Checkpoint,
}

/// <summary>
/// Drives an experiment to its end and keeps the record: metrics as they come, checkpoints, results. The experiment is made, driven and
/// disposed on one thread of its own, since the tensor library's scopes belong to a thread.
/// </summary>
public sealed class Run
{
    private const int StackBytes = 16 << 20;
    private const int MostChanges = 1000;

    private readonly RunDirectory directory;
    private readonly RunConfiguration configuration;
    private readonly RunServices services;
    private readonly Beginning beginning;
    private readonly IReadOnlyList<UsedPart> partsBefore;
    private RunRecord record;
    private volatile RunSnapshot snapshot;

    private Run(
        RunDirectory directory,
        RunConfiguration configuration,
        RunServices services,
        RunRecord record,
        Beginning beginning
    )
    {
        this.directory = directory;
        this.configuration = configuration;
        this.services = services;
        this.beginning = beginning;
        DerivedSettings derived = DerivedSettings.Of(configuration);
        partsBefore = record.Parts;
        this.record = record with
        {
            State = RunState.Running,
            Problem = null,
            Started = [.. record.Started, services.Clock.GetUtcNow()],
            Instructions = [.. record.Instructions, InstructionSet.Here],
            Parts = UsedPart.Of(configuration),
            Provenance = Provenance.Here,
            Device = configuration.Device,
            Threads = derived.Threads,
            Seeds = derived.Seeds,
        };
        snapshot = new(
            configuration.Name,
            0,
            configuration.EnvironmentSteps,
            configuration.Members,
            0,
            0,
            "starting",
            []
        );
    }

    /// <summary>A new run.</summary>
    /// <param name="directory">Its empty directory.</param>
    /// <param name="configuration">What to run.</param>
    /// <param name="commandLine">How it was started, for the record.</param>
    /// <param name="services">What it needs from outside.</param>
    /// <param name="from">A checkpoint whose parameters it starts with; null for none.</param>
    public static Run Begin(
        RunDirectory directory,
        RunConfiguration configuration,
        string commandLine,
        RunServices services,
        string? from = null
    ) =>
        new(
            directory,
            configuration,
            services,
            new RunRecord { CommandLine = commandLine, From = from },
            Beginning.New
        );

    /// <summary>A run that goes on from its last checkpoint, or from the beginning where it was stopped before the first.</summary>
    /// <param name="directory">The run's directory.</param>
    /// <param name="configuration">The run's own configuration; environmentSteps may be more than it was; see <see cref="ResumeRules"/>.</param>
    /// <param name="commandLine">How it was resumed, for the record.</param>
    /// <param name="services">What it needs from outside.</param>
    /// <exception cref="UsageException">The configuration is another one, the run is complete, or has lost its checkpoint.</exception>
    public static Run Resume(
        RunDirectory directory,
        RunConfiguration configuration,
        string commandLine,
        RunServices services
    )
    {
        RunConfiguration before = services.Reader.ReadFile(directory.Configuration);
        if (configuration.EnvironmentSteps < before.EnvironmentSteps)
        {
            throw new UsageException(
                $"Run {directory.Root}: environmentSteps: found {configuration.EnvironmentSteps}, expected at least the run's {before.EnvironmentSteps}."
            );
        }
        IReadOnlyList<string> differences = ConfigurationJson.Differences(
            before,
            ResumeRules.AsBefore(configuration, before)
        );
        if (differences.Count > 0)
        {
            throw new UsageException(
                $"Run {directory.Root}: a resumed run keeps its configuration, except for a larger environmentSteps, threads, run.whenNotFinite, run.keepLast and run.keepBest. Found changes: {string.Join("; ", differences)}."
            );
        }
        RunRecord record = File.Exists(directory.Record) ? RunRecord.Read(directory) : new RunRecord();
        if (!File.Exists(directory.Checkpoint))
        {
            // Nothing is lost by starting over, as long as nothing was done.
            return record.EnvironmentSteps == 0
                ? new Run(
                    directory,
                    configuration,
                    services,
                    record with
                    {
                        CommandLine = commandLine,
                    },
                    Beginning.Again
                )
                : throw new UsageException(
                    $"Run {directory.Root}: found no checkpoint at {directory.Checkpoint}, though {record.EnvironmentSteps} {record.Unit} are done; start it anew, with another --output."
                );
        }
        if (record.State == RunState.Finished && configuration.EnvironmentSteps == before.EnvironmentSteps)
        {
            throw new UsageException(
                $"Run {directory.Root}: complete, after {record.EnvironmentSteps} {record.Unit}. To lengthen it: --set environmentSteps=…"
            );
        }
        return new Run(
            directory,
            configuration,
            services,
            record with
            {
                CommandLine = commandLine,
            },
            Beginning.Checkpoint
        );
    }

    /// <summary>Runs to the end, until asked to stop, or until something fails.</summary>
    /// <param name="stop">Asks to stop, with a checkpoint, after the meta-step under way; one that takes longer than
    /// <see cref="RunServices.Patience"/> is given up, as the set-up is, and the last checkpoint stays as it was.</param>
    /// <exception cref="UsageException">Another process runs here.</exception>
    /// <exception cref="IOException">The configuration or the record cannot be written. The run is then what it was, or, where the
    /// configuration was written, one that can be resumed.</exception>
    public RunOutcome Execute(CancellationToken stop)
    {
        using IDisposable claim = directory.Lock();
        if (beginning == Beginning.New && File.Exists(directory.Configuration))
        {
            throw new UsageException(
                $"Run {directory.Root}: another process has started a run here meanwhile. Choose another --output."
            );
        }
        directory.ClearPartials();
        // The configuration is what decides how long a run is: until it is written a lengthening has not begun, and from then on the run is
        // not complete, whatever its record still says (see RunRecord.Read).
        AtomicFile.WriteText(directory.Configuration, configuration.ToJson());
        record.Write(directory);
        if (
            beginning == Beginning.Checkpoint
            && record.Instructions.Count > 1
            && record.Instructions[^2] != InstructionSet.Here
        )
        {
            services.Reporter.Say(
                $"Warning: this run was computed with {record.Instructions[^2]} before, and goes on with {InstructionSet.Here}: from here on its numbers differ in their last bits from those of a run that was never moved."
            );
        }

        foreach (UsedPart part in record.Parts)
        {
            if (
                beginning == Beginning.Checkpoint
                && partsBefore.FirstOrDefault(before => before.Path == part.Path) is { } before
                && before.Release != part.Release
            )
            {
                services.Reporter.Say(
                    $"Warning: {part.Path}: this run was computed with {before} before, and goes on with {part}."
                );
            }
        }

        using CancellationTokenSource abandon = new();
        using CancellationTokenRegistration patience = stop.Register(() => abandon.CancelAfter(services.Patience));

        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Thread thread = new(() => ended.SetResult(ExecuteHere(stop, abandon.Token)), StackBytes)
        {
            Name = "training",
            IsBackground = true,
        };
        thread.Start();
        try
        {
            services.Reporter.Watch(() => snapshot, ended.Task);
        }
        catch (Exception)
        {
            // A display that fails, on a terminal that went away, is no reason to lose a run.
        }
        return ended.Task.GetAwaiter().GetResult();
    }

    private RunOutcome ExecuteHere(CancellationToken stop, CancellationToken abandon)
    {
        RunOutcome outcome;
        try
        {
            outcome = Train(stop, abandon) is { } state
                ? Finish(state)
                : new RunOutcome(RunState.Interrupted, record.EnvironmentSteps);
        }
        catch (OperationCanceledException) when (abandon.IsCancellationRequested)
        {
            outcome = new RunOutcome(RunState.Interrupted, record.EnvironmentSteps, Abandoned: true);
        }
        catch (Exception e)
        {
            outcome = new RunOutcome(RunState.Failed, snapshot.EnvironmentSteps, Failure: Explain(e));
        }

        record = record with { State = outcome.State, Problem = outcome.Failure?.Message };
        try
        {
            record.Write(directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A full disk has been reported already, or is about to be.
            outcome = outcome with
            {
                State = RunState.Failed,
                Failure = outcome.Failure ?? Explain(e),
            };
        }
        return outcome;
    }

    /// <summary>Trains; null where it was asked to stop before the end.</summary>
    private HostState? Train(CancellationToken stop, CancellationToken abandon)
    {
        bool resumed = beginning == Beginning.Checkpoint;
        snapshot = snapshot with { Phase = "making the members" };
        using IExperiment experiment = services.Experiments.Create(configuration, abandon);
        IReadOnlyList<Metric> metrics = experiment.Metrics;
        if (resumed)
        {
            snapshot = snapshot with { Phase = $"restoring {directory.Checkpoint}" };
        }
        if (!resumed && record.From is { } from)
        {
            snapshot = snapshot with { Phase = $"taking the parameters of {from}" };
            Say(
                $"Starts with what {from} has learned: {WarmStart.Take(experiment, from, directory.Checkpoint + ".from.partial")}."
            );
        }
        HostState state = resumed
            ? HostState.Parse(
                experiment.Restore(directory.Checkpoint),
                directory.Checkpoint,
                metrics.Count,
                configuration.Members
            )
            : HostState.Start(metrics.Count, configuration.Members);
        List<long> changes = [.. experiment.Changes(0, configuration.EnvironmentSteps).Take(MostChanges + 1)];
        record = record with
        {
            EnvironmentSteps = experiment.EnvironmentSteps,
            Unit = experiment.Unit,
            Frozen = experiment.Frozen,
            Metrics = metrics,
            Changes = changes.Count <= MostChanges ? changes : [],
        };
        record.Write(directory);
        snapshot = snapshot with { Unit = experiment.Unit, Changes = record.Changes };

        EventWriter events = new(directory.TensorBoard, services.Clock);
        using MetricsWriter writer = new(
            services.OpenMetrics(directory.Metrics, state.MetricsBytes),
            events,
            metrics,
            record.Seeds
        );
        if (resumed && state.Events is { } position)
        {
            events.Rewind(position);
        }
        long startSteps = experiment.EnvironmentSteps;
        long saved = startSteps;
        double startSeconds = state.Seconds;
        long startTime = services.Clock.GetTimestamp();
        IReadOnlyList<(Metric, double)> figures = [];
        Trail trail = TrailSoFar(metrics, resumed);
        // Of the intervals since the last checkpoint, by which it is judged.
        List<double> scores = [];
        int judged = Math.Max(0, metrics.ToList().FindIndex(metric => metric.Name == record.Score));
        bool saturated = false;
        if (!resumed)
        {
            Checkpoint(); // A disk that cannot be written shows before any training, and every run can be resumed.
        }

        while (experiment.EnvironmentSteps < configuration.EnvironmentSteps && !stop.IsCancellationRequested)
        {
            long before = experiment.EnvironmentSteps;
            long beforeTime = services.Clock.GetTimestamp();
            MetaStepReport report = experiment.Advance();
            // What adds up is a rate times its steps, as it comes, or a mean times them.
            double share = metrics[0].Aggregation == Aggregation.Mean ? report.Steps : 1;
            state = state with
            {
                Seconds = startSeconds + services.Clock.GetElapsedTime(startTime).TotalSeconds,
                TotalReward =
                [
                    .. state.TotalReward.Zip(
                        report.Values[0],
                        (sum, value) => double.IsNaN(value) ? sum : sum + (share * value)
                    ),
                ],
                Interval = state.Interval.Add(metrics, report),
            };
            if (experiment.Frozen.Count > record.Frozen.Count)
            {
                Mark(experiment.Frozen);
            }
            if (Reaches(configuration.Run.MetricsEvery))
            {
                WriteInterval();
            }
            // Where a stop may have to give a meta-step up, no more than that one is to be lost.
            bool slow = services.Clock.GetElapsedTime(beforeTime) > services.Patience / 2;
            if (slow || Reaches(configuration.Run.CheckpointEvery))
            {
                Checkpoint();
            }
            snapshot = snapshot with
            {
                EnvironmentSteps = experiment.EnvironmentSteps,
                SessionSteps = experiment.EnvironmentSteps - startSteps,
                SessionSeconds = state.Seconds - startSeconds,
                Phase = "",
                Figures = figures,
            };

            bool Reaches(long every) => experiment.EnvironmentSteps / every > before / every;
        }

        if (experiment.EnvironmentSteps > saved)
        {
            Checkpoint();
        }
        if (experiment.EnvironmentSteps < configuration.EnvironmentSteps)
        {
            return null;
        }
        if (state.Interval.Steps > 0)
        {
            // After the checkpoint, which keeps the interval open: a run that is lengthened later goes on with it.
            WriteInterval();
        }
        return state;

        void WriteInterval()
        {
            double[][] values = state.Interval.Values();
            writer.Write(experiment.EnvironmentSteps, state.Seconds, values);
            if (!saturated && Saturation.Of(metrics, values, experiment.EnvironmentSteps) is { } line)
            {
                saturated = true; // Said once.
                services.Reporter.Say(line);
            }
            state = state with { Interval = Interval.Empty(metrics.Count, configuration.Members) };
            double[] means = [.. values.Select(value => Spread.Of(value).Mean)];
            figures = [.. metrics.Zip(means)];
            trail.Add(experiment.EnvironmentSteps, means);
            if (double.IsFinite(means[judged]))
            {
                scores.Add(means[judged]);
            }
            snapshot = snapshot with { Trail = trail.Means(), Latest = values[0] };
        }

        void Mark(IReadOnlyList<FrozenMember> frozen)
        {
            FrozenMember[] fresh = [.. frozen.Where(mark => record.Frozen.All(known => known.Member != mark.Member))];
            writer.Mark(experiment.EnvironmentSteps, fresh);
            record = record with { Frozen = frozen };
            record.Write(directory);
            foreach (FrozenMember mark in fresh)
            {
                Say($"{mark}. The others go on.");
            }
        }

        void Checkpoint()
        {
            writer.Settle();
            state = state with
            {
                MetricsBytes = writer.Length,
                Events = events.Position,
                PeakMemoryBytes = Math.Max(state.PeakMemoryBytes, PeakMemory.Bytes),
            };
            double score = scores.Count == 0 ? double.NaN : scores.Average();
            if (configuration.Run.KeepBest && score > (state.Best ?? double.NegativeInfinity))
            {
                state = state with { Best = score };
                // Before the latest: a kill in between is made good by the run that goes on from the checkpoint before.
                experiment.Save(directory.BestCheckpoint, state.ToJson());
            }
            scores.Clear();
            experiment.Save(directory.Checkpoint, state.ToJson());
            saved = experiment.EnvironmentSteps;
            if (configuration.Run.KeepLast > 0)
            {
                experiment.Save(directory.CheckpointAt(saved), state.ToJson());
                foreach (string old in directory.KeptCheckpoints.SkipLast(configuration.Run.KeepLast).ToArray())
                {
                    File.Delete(old);
                }
            }
            record = record with { EnvironmentSteps = saved };
        }
    }

    /// <summary>The curves that a display of a run that goes on starts with.</summary>
    private Trail TrailSoFar(IReadOnlyList<Metric> metrics, bool resumed)
    {
        Trail trail = new(metrics.Count, configuration.EnvironmentSteps);
        if (resumed)
        {
            MetricsLog log = MetricsLog.Read(directory.Metrics, metrics);
            for (int i = 0; i < log.EnvironmentSteps.Count; i++)
            {
                trail.Add(
                    log.EnvironmentSteps[i],
                    [.. metrics.Select(metric => Spread.Of(log.Values[metric.Name][i]).Mean)]
                );
            }
            snapshot = snapshot with { EnvironmentSteps = record.EnvironmentSteps, Trail = trail.Means() };
        }
        return trail;
    }

    /// <summary>Says a line; a display that fails, on a terminal that went away, is no reason to lose a run.</summary>
    private void Say(string line)
    {
        try
        {
            services.Reporter.Say(line);
        }
        catch (IOException)
        {
            // It is on record.
        }
    }

    private RunOutcome Finish(HostState state)
    {
        snapshot = snapshot with { Phase = "exporting" };
        MetricsLog log = MetricsLog.Read(directory.Metrics, record.Metrics);
        if (Movement.Of(record.Metrics, log) is { } hardly)
        {
            Say(hardly);
        }
        IReadOnlyList<double> total = WithoutFrozen(state.TotalReward);
        IReadOnlyList<double> finalRate = WithoutFrozen(
            log.MeanSince(record.Metrics[0].Name, 0.9 * record.EnvironmentSteps)
        );
        IReadOnlyList<double>? meanReturn = record.HasEpisodes ? WithoutFrozen(log.MeanSince(record.Score, 0)) : null;
        IReadOnlyList<double>? finalReturn = record.HasEpisodes
            ? WithoutFrozen(log.MeanSince(record.Score, 0.9 * record.EnvironmentSteps))
            : null;
        // A metric that is a mean stands as its mean times the length; where there are episodes, members are judged by their returns.
        IReadOnlyList<double> judged = meanReturn is null
            ? total
            : [.. meanReturn.Select(mean => mean * record.EnvironmentSteps)];
        RunSummary summary = new()
        {
            MeanReturn = meanReturn,
            FinalReturn = finalReturn,
            Seeds = record.Seeds,
            EnvironmentSteps = record.EnvironmentSteps,
            Frozen = record.Frozen,
            Metric = record.Metrics.First(metric => metric.Name == record.Score),
            TotalReward = judged,
            TotalRewardSpread = Spread.Of(judged),
            FinalRewardRate = finalReturn ?? finalRate,
            FinalRewardRateSpread = Spread.Of(finalReturn ?? finalRate),
            Seconds = state.Seconds,
            EnvironmentStepsPerSecond =
                (
                    (record.EnvironmentSteps * (configuration.Members - record.Frozen.Count))
                    + record.Frozen.Sum(mark => mark.EnvironmentStep)
                ) / state.Seconds,
            PeakMemoryBytes = state.PeakMemoryBytes,
            Device = record.Device,
            Threads = record.Threads,
            Provenance = record.Provenance,
            Configuration = configuration,
        };
        summary.Write(directory); // Training is done: its results do not wait for the export.

        FinishOutcome finish = Export(finalReturn ?? finalRate);
        summary = summary with
        {
            Policy = finish.Policy,
            MetaNetwork = finish.MetaNetwork,
            ExportMaxAbsDifference = finish.ExportMaxAbsDifference,
        };
        summary.Write(directory);
        return new RunOutcome(RunState.Finished, record.EnvironmentSteps, summary, finish);
    }

    /// <summary>Results of members: NaN of those that were frozen.</summary>
    private double[] WithoutFrozen(IReadOnlyList<double> values)
    {
        double[] kept = [.. values];
        foreach (FrozenMember mark in record.Frozen)
        {
            kept[mark.Member] = double.NaN;
        }
        return kept;
    }

    private FinishOutcome Export(IReadOnlyList<double> finalRate)
    {
        try
        {
            return services.Finish(directory, configuration, finalRate);
        }
        catch (Exception e)
        {
            throw new OperationException(
                $"Run {directory.Root}: training is complete, but its export failed: {Printable.MessageOf(e)}",
                e
            );
        }
    }

    private Exception Explain(Exception e)
    {
        string kept = File.Exists(directory.Checkpoint)
            ? $"The last good checkpoint is kept; to go on: {ThisProgram.Line($"train --resume {directory.Root}")}"
            : "There is no checkpoint yet.";
        string step = $"after {Units.One(snapshot.Unit)} {Figures.Count(snapshot.EnvironmentSteps)}";
        return e switch
        {
            BmgException or CheckpointException => e,
            NumericalFailureException => new OperationException($"{e.Message} ({directory.Checkpoint})", e),
            _ => new OperationException(
                $"Run {directory.Root}: stopped {step}: {Printable.MessageOf(e).TrimEnd('.')}. {kept}",
                e
            ),
        };
    }
}
