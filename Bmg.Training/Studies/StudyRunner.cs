using Bmg.Training.Acting;
using Bmg.Training.Progress;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>How a study ended.</summary>
/// <param name="Interrupted">Whether it was asked to stop before its end.</param>
/// <param name="Failures">What went wrong in cells whose numbers did not stay finite, by cell.</param>
public sealed record StudyOutcome(bool Interrupted, IReadOnlyDictionary<string, string> Failures);

/// <summary>
/// Carries out the runs of a study one after the other. A run that is complete is not repeated and one that was stopped goes on; one whose
/// numbers do not stay finite is noted, and the others go on without it.
/// </summary>
public sealed class StudyRunner
{
    private readonly IReadOnlyList<StudyCell> cells;
    private readonly RunServices services;
    private readonly StudyReporter reporter;
    private readonly string commandLine;
    private readonly Action<StudyCell, RunDirectory, RunSummary> finished;
    private readonly Lock gate = new();
    private readonly CellProgress[] progress;
    private int position;
    private Func<RunSnapshot>? current;

    /// <summary>A study that is about to be carried out.</summary>
    /// <param name="cells">Its runs, at least one.</param>
    /// <param name="services">What runs need from outside; the reporter in it is not used.</param>
    /// <param name="reporter">Tells the user.</param>
    /// <param name="commandLine">How it was started, for the record.</param>
    /// <param name="finished">Told of every cell whose run is complete.</param>
    public StudyRunner(
        IReadOnlyList<StudyCell> cells,
        RunServices services,
        StudyReporter reporter,
        string commandLine,
        Action<StudyCell, RunDirectory, RunSummary> finished
    )
    {
        this.cells = cells;
        this.services = services with
        {
            Reporter = new RunReporter(
                _ => { },
                (latest, run) =>
                {
                    lock (gate)
                    {
                        current = latest;
                    }
                    RunReporter.Await(run);
                }
            ),
        };
        this.reporter = reporter;
        this.commandLine = commandLine;
        this.finished = finished;
        progress =
        [
            .. cells.Select(cell => new CellProgress(
                cell.Id,
                cell.Agent,
                cell.MemberSteps,
                cell.Done ? cell.MemberSteps : 0
            )),
        ];
    }

    /// <summary>Runs to the end, or until asked to stop.</summary>
    /// <param name="stop">Asks to stop, with a checkpoint, after the meta-step under way.</param>
    /// <exception cref="BmgException">A directory holds something else, before anything is run; or a run failed.</exception>
    public StudyOutcome Execute(CancellationToken stop)
    {
        CellState[] states = [.. cells.Select(cell => cell.Done ? new CellState(null, null, 0) : cell.Look())];
        for (int i = 0; i < cells.Count; i++)
        {
            if (!cells[i].Done)
            {
                progress[i] = progress[i] with { Done = states[i].Steps * cells[i].Configuration.Members };
            }
        }
        Task<StudyOutcome> study = Task.Factory.StartNew(
            () => ExecuteHere(stop),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default
        );
        try
        {
            reporter.Watch(Snapshot, study);
        }
        catch (Exception)
        {
            // A display that fails, on a terminal that went away, is no reason to lose a study.
        }
        return study.GetAwaiter().GetResult();
    }

    /// <summary>How far the study is.</summary>
    public StudySnapshot Snapshot()
    {
        lock (gate)
        {
            RunSnapshot? run = current?.Invoke();
            CellProgress[] all = [.. progress];
            if (run is not null)
            {
                all[position] = all[position] with
                {
                    Done = Math.Max(all[position].Done, run.EnvironmentSteps * run.Members),
                    SessionSteps = run.SessionSteps * run.Members,
                    SessionSeconds = run.SessionSeconds,
                };
            }
            return new StudySnapshot(position + 1, all, run);
        }
    }

    private StudyOutcome ExecuteHere(CancellationToken stop)
    {
        Dictionary<string, string> failures = [];
        for (int i = 0; i < cells.Count; i++)
        {
            if (cells[i].Done)
            {
                continue;
            }
            // Once more: hours may have passed, and another part of the same sweep may have been here.
            CellState state = cells[i].Look();
            lock (gate)
            {
                progress[i] = progress[i] with { Done = state.Steps * cells[i].Configuration.Members };
            }
            if (state is { Run: { } run, Summary: { } summary })
            {
                finished(cells[i], run, summary);
                continue;
            }
            if (stop.IsCancellationRequested)
            {
                return new StudyOutcome(true, failures);
            }
            lock (gate)
            {
                position = i;
            }
            RunOutcome outcome = cells[i].Start(state, commandLine, services, out RunDirectory directory).Execute(stop);
            Settle(i);
            switch (outcome.State)
            {
                case RunState.Finished:
                    RunReport.Write(directory);
                    finished(cells[i], directory, outcome.Summary!);
                    break;
                case RunState.Interrupted:
                    return new StudyOutcome(true, failures);
                default:
                    if (outcome.Failure!.InnerException is not NumericalFailureException failure)
                    {
                        throw outcome.Failure;
                    }
                    failures[cells[i].Id] = failure.Message; // Without the path of a checkpoint, which differs between machines.
                    reporter.Say($"{cells[i].Id}: {outcome.Failure.Message}");
                    break;
            }
        }
        return new StudyOutcome(false, failures);
    }

    /// <summary>Keeps what was measured of a cell, whose run has ended.</summary>
    private void Settle(int cell)
    {
        StudySnapshot last = Snapshot();
        lock (gate)
        {
            progress[cell] = last.Cells[cell];
            current = null;
        }
    }
}
