using System.Text.Json;
using System.Text.Json.Nodes;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>A run of a study.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Configuration">What is to be run; its members are the seeds.</param>
/// <param name="Directory">Directory of the run, which may exist.</param>
/// <param name="Done">Whether its result is there, so that nothing has to be run.</param>
public sealed record StudyCell(string Id, RunConfiguration Configuration, string Directory, bool Done = false)
{
    /// <summary>Environment steps of all members together.</summary>
    public long MemberSteps => Configuration.EnvironmentSteps * Configuration.Members;

    /// <summary>The kind of agent, as far as it decides how long a step takes.</summary>
    public string Agent
    {
        get
        {
            JsonNode? all = JsonSerializer.SerializeToNode(Configuration, ConfigurationJson.OneLine);
            return $"{all?["learner"]?["agent"]} {all?["meta"]?["method"]}";
        }
    }

    /// <summary>What there is of the run, where what has no configuration is remains of one that was killed: the results where it is complete, and how far it is otherwise.</summary>
    /// <exception cref="UsageException">The directory holds another run, or something else.</exception>
    internal CellState Look()
    {
        if (!System.IO.Directory.Exists(Directory) || !RunDirectory.IsRun(Directory))
        {
            return new CellState(null, null, 0);
        }
        RunDirectory run = RunDirectory.Open(Directory);
        RunConfiguration before = Resolution.ReaderOf(Configuration).ReadFile(run.Configuration);
        IReadOnlyList<string> changes =
        [
            .. SettingChanges.Between(before, Configuration),
            .. before.Members == Configuration.Members
                ? Array.Empty<string>()
                : [$"members: {before.Members}, now {Configuration.Members}"],
        ];
        if (changes.Count > 0)
        {
            throw new UsageException(
                $"Run {Directory}: found a run with other settings ({changes[0]}), expected that of {Id}. Choose another --output."
            );
        }
        if (!File.Exists(run.Checkpoint))
        {
            return new CellState(null, null, 0);
        }
        RunRecord record = RunRecord.Read(run);
        bool complete = record.State == RunState.Finished && record.EnvironmentSteps >= Configuration.EnvironmentSteps;
        if (!complete && before.EnvironmentSteps > Configuration.EnvironmentSteps)
        {
            throw new UsageException(
                $"Run {Directory}: found one of {before.EnvironmentSteps} steps under way, expected at most the {Configuration.EnvironmentSteps} asked for. Choose another --output."
            );
        }
        return new CellState(run, complete ? RunSummary.Read(run) : null, record.EnvironmentSteps);
    }

    /// <summary>Makes the run: a new one, or one that goes on.</summary>
    internal Run Start(CellState state, string commandLine, RunServices services, out RunDirectory directory)
    {
        if (state.Run is null)
        {
            if (System.IO.Directory.Exists(Directory))
            {
                // Killed before its first checkpoint; another process that trains in it is no remains.
                RunDirectory.LockAt(Directory).Dispose();
                Remains.Clear(Directory);
            }
            directory = RunDirectory.Create(Directory);
            return Run.Begin(directory, Configuration, commandLine, services);
        }
        directory = state.Run;
        // What it is called, where it is computed and what it writes stays as it was; threads are of this session, and so is what ends it.
        RunConfiguration before = Resolution.ReaderOf(Configuration).ReadFile(directory.Configuration);
        return Run.Resume(
            directory,
            before with
            {
                EnvironmentSteps = Configuration.EnvironmentSteps,
                Threads = Configuration.Threads,
                Run = before.Run with { WhenNotFinite = Configuration.Run.WhenNotFinite },
            },
            commandLine,
            services
        );
    }
}

/// <summary>What there is of a cell's run.</summary>
/// <param name="Run">Its directory; null where there is nothing to go on with.</param>
/// <param name="Summary">The results, where it is complete.</param>
/// <param name="Steps">Environment steps that each member has done.</param>
internal sealed record CellState(RunDirectory? Run, RunSummary? Summary, long Steps);
