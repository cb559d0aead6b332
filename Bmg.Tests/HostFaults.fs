/// Faults of the way from a setting to a part, of indices, carried state, units, exports, resumes, evaluations and reports, to be planted in
/// copies of the projects by `faults`.
module Bmg.Tests.HostFaults

/// A fault: what is wrong, of what kind, where, and the tests that are tried first.
type HostFault = {
    Name: string
    /// One of `kinds`.
    Kind: string
    /// Folder of the project.
    Project: string
    File: string
    /// What stands there, exactly once.
    Find: string
    /// What stands there instead.
    Replace: string
    /// Each is part of a test list's name, or "list: part of a test's name".
    Tests: string list
}

/// What faults are of; at least five of each.
let kinds = [
    "wiring"
    "index or member"
    "state carried"
    "unit or reduction"
    "export formula"
    "resume"
    "evaluation"
    "report"
]

let private fault project kind name file find replace tests = {
    Name = name
    Kind = kind
    Project = project
    File = file
    Find = find
    Replace = replace
    Tests = tests
}

let private core kind name = fault "Bmg.Core" kind name
let private training kind name = fault "Bmg.Training" kind name
let private export kind name = fault "Bmg.Export" kind name

let private agent = "Agents/ActorCriticAgent.cs"
let private qAgent = "Agents/QLambdaAgent.cs"
let private population = "Agents/Population.cs"
let private qPopulation = "Agents/QLambdaPopulation.cs"
let private experiment = "Experiments/PopulationExperiment.cs"
let private library = "Library/LibraryParts.cs"
let private collector = "Acting/RolloutCollector.cs"
let private context = "Acting/RecentContext.cs"
let private played = "Evaluation/PolicyEvaluation.cs"
let private finished = "Evaluation/ExportAndPlay.cs"
let private evaluated = "Evaluation/EvaluateAction.cs"

let private wiring = [
    let training = training "wiring"

    training
        "the target's last step started from the wrong optimizer state"
        library
        "LastStepState.Learners"
        "LastStepState.Fresh"
        [ "wiring: target.optimizer" ]

    training
        "the target's last step never clipped"
        agent
        "                                Optimizer = optimizer,"
        "                                Optimizer = learner.Optimizer.Make(AgentKinds.Optimizer),"
        [ "wiring: target.optimizer" ]

    training "the outer entropy weight ignored" agent "judge.PolicyLoss(meta.OuterEntropyWeight)" "judge.PolicyLoss(0)" [
        "wiring: meta.outerEntropyWeight"
    ]

    training
        "β₁ and β₂ of the meta-optimizer swapped"
        agent
        "Optimizers.Adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon)"
        "Optimizers.Adam(meta.LearningRate, meta.Beta2, meta.Beta1, meta.Epsilon)"
        [ "wiring: meta.beta1" ]

    training
        "β₁ and β₂ of Q(λ)'s meta-optimizer swapped"
        qAgent
        "Optimizers.Adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon)"
        "Optimizers.Adam(meta.LearningRate, meta.Beta2, meta.Beta1, meta.Epsilon)"
        [ "wiring: meta.beta1" ]

    training
        "returns td and lambda swapped"
        agent
        "learner.Returns == ReturnKind.Lambda ?"
        "learner.Returns == ReturnKind.Td ?"
        [ "wiring: learner.returns" ]

    training
        "the reduction of KL ignored"
        library
        "Matching.KlOf(c.Distribution, c.Reduction)"
        "Matching.KlOf(c.Distribution, Reduction.Sum)"
        [ "wiring: matching.reduction" ]

    training
        "the reduction of Q(λ)'s KL ignored"
        qAgent
        "QLambda.GreedyKl(Configuration.Matching.Reduction)"
        "QLambda.GreedyKl(Reduction.Sum)"
        [ "wiring: matching.reduction" ]

    training
        "weights of the matching function's terms in reverse"
        agent
        "[.. settings.Functions.Select(term => term.Weight)],"
        "[.. settings.Functions.Reverse().Select(term => term.Weight)],"
        [ "wiring: matching.functions" ]

    training
        "a target that descends the whole loss descends the policy's alone"
        agent
        "(TargetLoss.Full, null) => UpdateRule.Gradient(networks.Loss(), optimizer)"
        "(TargetLoss.Full, null) => UpdateRule.Gradient(networks.PolicyLoss(0), optimizer)"
        [ "wiring: target.loss" ]

    training
        "truncateAfter ignored"
        agent
        "ThroughSteps.NewTruncated(meta.TruncateAfter)"
        "ThroughSteps.NewTruncated(1)"
        [ "wiring: meta.truncateAfter" ]

    training
        "forward mode made reverse"
        agent
        "DifferentiationKind.Forward => ThroughSteps.Forward"
        "DifferentiationKind.Forward => ThroughSteps.Reverse"
        [ "wiring: meta.differentiation" ]

    training "the meta-network never pre-trained" agent "meta.PretrainingSteps" "0" [ "wiring: meta.pretrainingSteps" ]

    training
        "the weight of the value loss ignored"
        agent
        ".WithValueWeight(Setting.NewConstant(learner.ValueWeight))"
        ".WithValueWeight(Setting.NewConstant(0.5))"
        [ "wiring: learner.valueWeight" ]

    training
        "momentum's decay ignored"
        library
        "Optimizers.Momentum(s.LearningRate, s.Decay)"
        "Optimizers.Momentum(s.LearningRate, 0.9)"
        [ "wiring: learner.optimizer.decay" ]

    training
        "the number of walls ignored"
        "Environments/SwitchingMdpsEnvironment.cs"
        "            settings.MostWalls,"
        "            15,"
        [ "wiring: environment.mostWalls" ]

    training
        "theory's target one step short"
        "Theory/MetaTraining.cs"
        "TargetBootstrap.LookAhead(steps, rule, LastStepState.Fresh)"
        "TargetBootstrap.LookAhead(Math.Max(1, steps - 1), rule, LastStepState.Fresh)"
        [ "wiring: targetSteps" ]

    training
        "seeds of a study taken from its first cell's configuration"
        "CommandLine/ReproduceCommand.cs"
        "request.Quick ? QuickSeeds : request.Study.FullSeeds"
        "request.Quick ? QuickSeeds : 1"
        [ "wiring: fullSeeds" ]
]

let private index = [
    let training = training "index or member"
    let export = export "index or member"

    training "the worst member exported as the best" finished "rates[i] > rates[best] || " "rates[i] < rates[best] || " [
        "effects: best member"
    ]

    training
        "members of several parts reported in the parts' reverse order"
        experiment
        "reports.SelectMany(r => r.Values[m])"
        "Enumerable.Reverse(reports).SelectMany(r => r.Values[m])"
        [ "end to end: threads change nothing" ]

    training
        "a part restores the first members' worlds"
        population
        "_streams.Restore(member, state.Streams[_first + member]);"
        "_streams.Restore(member, state.Streams[member]);"
        [ "end to end: threads change nothing" ]

    training
        "copies of a member that share their chance"
        "Acting/Streams.cs"
        "select copy == 0 ? seed : seed.For($\"copy {copy}\"),"
        "select seed,"
        [ "streams: hold what happened" ]

    training
        "rows of a member's copies written over another member's"
        "Acting/RolloutPad.cs"
        "=> member * _streams.Copies + copy;"
        "=> copy * _streams.Members + member;"
        [ "streams: hold what happened" ]

    training
        "a part restores the first members' tensors"
        "Agents/MemberValues.cs"
        "t.narrow(0, first, members)"
        "t.narrow(0, 0, members)"
        [ "end to end: threads change nothing" ]

    training
        "a member that fails named by its place in its part"
        "Acting/MemberGuard.cs"
        "throw new NumericalFailureException(quantity, first + member, seed"
        "throw new NumericalFailureException(quantity, member, seed"
        [ "effects: a member that fails" ]

    training
        "a member that is frozen marked by its place in its part"
        "Acting/MemberGuard.cs"
        "new FrozenMember(first + member, seed"
        "new FrozenMember(member, seed"
        [ "study faults" ]

    core
        "index or member"
        "a lone member's vectors multiplied by another path than those of several"
        "MemberWise.fs"
        "if vector && (a.size 0 = 1L ||"
        "if vector && (a.size 0 = 0L ||"
        [ "a member's numbers are its own: alone" ]

    core
        "index or member"
        "a sigmoid that depends on where a member stands in the batch"
        "MemberWise.fs"
        "if own % Block = 0L then"
        "if own > 0L then"
        [ "a member's numbers are its own: alone" ]

    training
        "a context's names newest first"
        "Agents/Agent.cs"
        "{length - i} {ContextUnit} ago"
        "{i + 1} {ContextUnit} ago"
        [ "effects: a context's names" ]

    training
        "every member played with the first one's parameters"
        "Evaluation/PlayablePolicies.cs"
        "all.OfMember(member)"
        "all.OfMember(0)"
        [ "effects: evaluate prints" ]

    training
        "Q(λ)'s rates of exploration handed to the wrong members"
        qPopulation
        "epsilon = constant[member];"
        "epsilon = constant[Members - 1 - member];"
        [ "wiring: meta.learningRate" ]

    export
        "every member exported with the first one's parameters"
        "Onnx/NetworkExporter.cs"
        "parameters.OfMember(member)"
        "parameters.OfMember(0)"
        [ "effects: best member" ]

    export
        "the first member's seed in every file"
        "Onnx/CheckpointMetadata.cs"
        "manifest.Seeds[member].ToString"
        "manifest.Seeds[0].ToString"
        [ "export: the file says" ]
]

let private state = [
    let training = training "state carried"

    training "Q(λ)'s target is the learner before its first step" qPopulation "if (t == _window - 1)" "if (t == 0)" [
        "Q(λ): lives as the plain parts say"
    ]

    training
        "statistics that move within a rollout"
        collector
        "normalizer.See(member, observation);"
        "normalizer.See(member, observation); normalizer.Renew(member);"
        [ "wiring: learner.normalizeObservations" ]

    training "a discounted sum of rewards that goes on after an end" "Acting/Normalizer.cs" "sum = ended ? 0 : sum;" "" [
        "streams: normalised"
    ]

    training "rewards that were taken are taken again" collector "Array.Clear(_rewards);" "" [
        "wiring: learner.rolloutLength"
    ]

    training
        "a context forgets its lifetime"
        context
        "lifetime = lifetime.With(values[feature]);"
        "lifetime = default(Lifetime).With(values[feature]);"
        [ "reward context" ]

    training "theory's learners live longer than they should" "Theory/MetaTraining.cs" "lived += livesOn;" "lived += 1;" [
        "wiring: learnerSteps"
    ]

    training "a restored stream's chance starts anew" "Acting/Streams.cs" "Random.State = state.Random;" "" [
        "streams: a stream saved"
    ]

    training
        "a restored stream forgets that its episode ended"
        "Acting/Streams.cs"
        "(Ended, Return, Length) = (state.Ended, state.Return, state.Length);"
        "(Return, Length) = (state.Return, state.Length);"
        [ "streams: a stream saved" ]

    training
        "two-colors draws the same cell again"
        "Environments/TwoColorsEnvironment.cs"
        "_blue = FreeCell(random, _agent, _red);"
        "_blue = FreeCell(new Rng(random.State), _agent, _red);"
        [ "two-colors" ]

    training
        "a switching world forgets which one it is"
        "Environments/SwitchingMdpsEnvironment.cs"
        "(_grid, _world) = (grid, world);"
        "_grid = grid;"
        [ "switching MDPs" ]

    training
        "an interval goes into the next one's line"
        "Runs/Run.cs"
        "state = state with { Interval = Interval.Empty(metrics.Count, configuration.Members) };"
        ""
        [ "runs: the summary holds" ]

    training "Adam of Q(λ) counts no steps" "Agents/QLambdaKernel.cs" "to.Count[member] = count;" "" [
        "Q(λ): the kernel's updates"
    ]

    training
        "Q(λ)'s traces decay into subnormal numbers"
        "Agents/QLambdaKernel.cs"
        "Least = 8.6736174e-19f"
        "Least = 0f"
        [ "Q(λ): what decays ends in zero" ]

    training "Q(λ)'s traces last for ever" "Agents/QLambdaKernel.cs" "(float)(_decay * discount)" "(float)_decay" [
        "Q(λ): the kernel's updates"
    ]
]

let private unit = [
    let training = training "unit or reduction"

    core
        "unit or reduction"
        "the reported meta-gradient norm without its root"
        "MetaLearner.fs"
        "numbers ((Params.squaredNorm result.Gradient).sqrt())"
        "numbers (Params.squaredNorm result.Gradient)"
        [ "effects: the meta-gradient's norm" ]

    training
        "means of an interval not weighted by steps"
        "Runs/Interval.cs"
        "report.Weights![member] : report.Steps;"
        "report.Weights![member] : 1;"
        [ "runs: intervals" ]

    training
        "the speed of one member given as that of all"
        "Runs/Run.cs"
        "record.EnvironmentSteps * (configuration.Members - record.Frozen.Count)"
        "record.EnvironmentSteps * (1 - record.Frozen.Count)"
        [ "effects: a run's report" ]

    training
        "a deviation over the population for that of a sample"
        "Runs/RunSummary.cs"
        "squares / (values.Length - 1)"
        "squares / values.Length"
        [ "effects: a spread" ]

    training
        "the final rate not weighted by steps"
        "Runs/MetricsLog.cs"
        "double steps = EnvironmentSteps[i] - (i == 0 ? 0 : EnvironmentSteps[i - 1]);"
        "double steps = 1;"
        [ "effects: the final rate" ]

    training
        "a step between episodes told as one that happened"
        "Acting/Streams.cs"
        "return new StreamStep(false, default);"
        "return new StreamStep(true, default);"
        [ "streams: a step between episodes" ]

    export
        "unit or reduction"
        "a torque that is not stretched to its bounds"
        "Checkpoints/ActionDescription.cs"
        "low + (high - low) * share"
        "low + share"
        [ "streams: hold what happened" ]

    training
        "a context of sums for one of means"
        "Acting/ContextFeatures.cs"
        "TensorPrimitives.Sum(values) / (double)values.Length"
        "TensorPrimitives.Sum(values)"
        [ "wiring: meta.contextLength" ]

    training "a context scaled by its variance" context "Math.Sqrt(Squares / Count)" "Squares / Count" [
        "reward context"
    ]

    training "Q(λ)'s loss not halved" qPopulation "loss += 0.5 * error * error;" "loss += error * error;" [
        "wiring: learner.discount"
    ]

    training
        "losses of the steps added up for their mean"
        "Agents/MemberValues.cs"
        "mean[member] += step[member] / steps.Length;"
        "mean[member] += step[member];"
        [ "wiring: learner.discount" ]

    training
        "an interval of √n too wide"
        "Reporting/StudentInterval.cs"
        "Spread.Of(values).Deviation / Math.Sqrt(count)"
        "Spread.Of(values).Deviation"
        [ "studies: Student's" ]

    training
        "the deviation of a table not in its unit"
        "Studies/Reproduction.cs"
        "total.Deviation / Study.UnitSize"
        "total.Deviation"
        [ "wiring: unitSize" ]
]

let private formula = [
    let export = export "export formula"

    training
        "export formula"
        "wrong bounds of an exported meta-network"
        "Agents/Agent.cs"
        "Low = HyperOutputs[0].Low,"
        "Low = 0,"
        [ "effects: an exported meta-network" ]

    export
        "an exported meta-network as wide as its upper bound, graph and check alike"
        "Onnx/MetaNetworkExporter.cs"
        "(float)(only.High - only.Low)"
        "(float)only.High"
        [ "effects: an exported meta-network"; "export: ONNX Runtime and TorchSharp" ]

    export
        "an exported meta-network that starts at its upper bound"
        "Onnx/MetaNetworkExporter.cs"
        "OnnxGraph.Constant(Low, (float)only.Low)"
        "OnnxGraph.Constant(Low, (float)only.High)"
        [ "export: affine image" ]

    export
        "the bounds of training's own meta-parameters with a lower one of 0"
        "Onnx/MetaNetworkExporter.cs"
        "[.. meta.Outputs.Select(output => output.Low)],"
        "[.. meta.Outputs.Select(_ => 0.0)],"
        [ "effects: the export's reference" ]

    export
        "another operator for an activation"
        "Onnx/LayerTranslation.cs"
        "return Add(\"Elu\", [input], output);"
        "return Add(\"Selu\", [input], output);"
        [ "export: ONNX Runtime and TorchSharp" ]

    export
        "probabilities over the batch"
        "Onnx/ActionHead.cs"
        "OnnxGraph.Node(\"Softmax\", [logits], PolicyExporter.Probabilities, (\"axis\", 1))"
        "OnnxGraph.Node(\"Softmax\", [logits], PolicyExporter.Probabilities, (\"axis\", 0))"
        [ "export: ONNX Runtime and TorchSharp" ]

    export
        "the action of the least value"
        "Onnx/ActionHead.cs"
        "OnnxGraph.Node(\"ArgMax\", [Raw]"
        "OnnxGraph.Node(\"ArgMin\", [Raw]"
        [ "export: a network of action values" ]

    export
        "a parity check that keeps the last difference"
        "Parity/ParityCheck.cs"
        "_scaled[output] = Math.Max(_scaled[output], difference / own);"
        "_scaled[output] = difference / own;"
        [ "effects: a parity check" ]

    export
        "a parity check that looks at fewer inputs than it says"
        "Parity/ParityCheck.cs"
        "start += batch;"
        "start += 2 * batch;"
        [ "effects: a parity check" ]

    export
        "a mask that does not reach the graph"
        "Onnx/ActionHead.cs"
        "OnnxGraph.Constant(Never, float.NegativeInfinity)"
        "OnnxGraph.Constant(Never, 0)"
        [ "generated policies: ONNX Runtime and TorchSharp" ]

    export
        "a mask that a session does not heed"
        "Inference/PolicySession.cs"
        "IsAllowed(allowed, j) ? MathF.Exp(logits[j] - greatest) : 0"
        "MathF.Exp(logits[j] - greatest)"
        [ "generated policies: a session gives what it can" ]

    export
        "several actions told apart one place too early, graph and check alike"
        "Checkpoints/CheckpointManifest.cs"
        "[.. Several!.Select(action => action.Choices.Length)]"
        "[.. Several!.Select(action => action.Choices.Length).Reverse()]"
        [ "worked by hand: several actions" ]

    export
        "normalised observations not held within their limit"
        "Onnx/PolicyExporter.cs"
        "OnnxGraph.Node(\"Min\", [\"observation.raised\", \"observation.most\"], output)"
        "OnnxGraph.Node(\"Max\", [\"observation.raised\", \"observation.least\"], output)"
        [ "policy kinds: what an observation is normalised to" ]

    export "one-hot groups that turn together" "Onnx/OneHotLayout.cs" "left /= size;" "" [ "one-hot layout" ]
]

let private resume = [
    let training = training "resume"

    training
        "actions drawn anew after a resume"
        collector
        "_actions[member * _streams.Copies + copy].State = actionStates[member][copy];"
        ""
        [ "end to end: saved and restored" ]

    training "steps counted from 0 after a resume" collector "EnvironmentSteps = environmentSteps;" "" [
        "effects: a restored experiment"
    ]

    training
        "a context that starts empty after a resume"
        population
        "_context?.SetState(member, state.Contexts[_first + member]);"
        ""
        [ "end to end: saved and restored" ]

    training
        "Q(λ)'s actions drawn anew after a resume"
        qPopulation
        "_actions[member].State = state.Actions[_first + member] is [var action]"
        "_ = state.Actions[_first + member] is [var action]"
        [ "end to end: saved and restored" ]

    training
        "a rollout that was not learned from lost at a resume"
        population
        "if (checkpoint.Sets.ContainsKey(\"pending\"))"
        "if (checkpoint.Sets.ContainsKey(\"none\"))"
        [ "end to end: saved and restored" ]

    training
        "returns under way forgotten at a resume"
        "Acting/Normalizer.cs"
        "state.Returns.CopyTo(_returns, member * _copies);"
        ""
        [ "end to end: saved and restored" ]

    training
        "a checkpoint of other seeds taken"
        experiment
        "!manifest.Seeds.SequenceEqual(Seeds)"
        "manifest.Seeds.Length != Seeds.Count"
        [ "end to end: other seeds" ]

    training "lines written after the checkpoint left in place" "Runs/MetricsWriter.cs" "stream.SetLength(length);" "" [
        "runs: written after the last checkpoint"
    ]

    training
        "time counted from 0 after a resume"
        "Runs/Run.cs"
        "double startSeconds = state.Seconds;"
        "double startSeconds = 0;"
        [ "effects: a resumed run" ]

    training
        "a run's unfinished interval lost at a resume"
        "Runs/HostState.cs"
        "JsonSerializer.Serialize(this, ConfigurationJson.OneLine)"
        "JsonSerializer.Serialize(this with { Interval = Interval.Empty(Interval.Sums.Length, TotalReward.Count) }, ConfigurationJson.OneLine)"
        [ "effects: a resumed run"; "runs: stopped anywhere" ]

    export
        "resume"
        "a damaged checkpoint taken"
        "Checkpoints/CheckpointFile.cs"
        "if (!DigestMatches(stream, header))"
        "if (!DigestMatches(stream, header) && header.Length == 0)"
        [ "export" ]
]

let private evaluation = [
    let training = training "evaluation"

    training
        "the last world taken for the other"
        "Environments/TwoColorsEnvironment.cs"
        "(int)(steps / _swapPeriod % 2)"
        "(int)((steps / _swapPeriod + 1) % 2)"
        [ "effects: the world that was learned last" ]

    training "the last world one step late" played "configured) - 1, 0)" "configured), 0)" [
        "effects: the world that was learned last"
    ]

    training
        "steps beyond a run's end counted for its last world"
        played
        "Math.Min(environmentSteps, configured)"
        "environmentSteps"
        [ "effects: the world that was learned last" ]

    training
        "sampled and greedy results swapped"
        played
        "from greedy in new[] { false, true }"
        "from greedy in new[] { true, false }"
        [ "effects: four plays" ]

    training
        "greedy plays drawn and drawn ones greedy"
        played
        "mode.Greedy ? null : draws[i]"
        "mode.Greedy ? draws[i] : null"
        [ "effects: four plays" ]

    training
        "the reward of one world for that of sixteen"
        played
        "new PlayResult(sum / played, returns)"
        "new PlayResult(sum / rounds, returns)"
        [ "effects: four plays" ]

    training
        "columns of a member's plays swapped"
        evaluated
        ".. results.Select(result =>"
        ".. Enumerable.Reverse(results).Select(result =>"
        [ "effects: evaluate prints" ]

    training "the mark at the wrong world" evaluated "phase == last ? \" *\" : \"\"" "phase != last ? \" *\" : \"\"" [
        "effects: evaluate prints"
    ]

    training
        "a finished run's play told of the other world"
        finished
        "phases.Count > 0 ? last : null, Greedy: false"
        "phases.Count > 0 ? 1 - last : null, Greedy: false"
        [ "effects: evaluate prints" ]

    training
        "Q(λ)'s greedy action taken for the first"
        "Evaluation/PlayablePolicies.cs"
        "raw[row * width + (int)actions[row]] = 0;"
        "raw[row * width] = 0;"
        [ "effects: a policy to be played" ]
]

let private report = [
    let training = training "report"

    training
        "the first member's total in every row"
        "Reporting/RunReport.cs"
        "Total(summary.TotalReward[i])"
        "Total(summary.TotalReward[0])"
        [ "effects: a run's report" ]

    training
        "totals and rates of a report swapped"
        "Reporting/RunReport.cs"
        "Text(summary.TotalRewardSpread, Total),
            Text(summary.FinalRewardRateSpread, Figures.Number),"
        "Text(summary.FinalRewardRateSpread, Total),
            Text(summary.TotalRewardSpread, Figures.Number),"
        [ "effects: a run's report" ]

    training
        "the mean rate beside every seed"
        "CommandLine/TrainCommand.cs"
        "Figures.Number(summary.FinalRewardRate[i])"
        "Figures.Number(summary.FinalRewardRateSpread.Mean)"
        [ "effects: a run's report" ]

    training "the smallest drawn at the largest" "Reporting/Series.cs" "double.NaN : all.Min()" "double.NaN : all.Max()" [
        "effects: a series"
    ]

    training
        "a chart upside down"
        "Reporting/SvgChart.cs"
        "((1 - Math.Clamp(y.Place(Math.Max(value, y.From)), 0, 1)) * plotHeight)"
        "(Math.Clamp(y.Place(Math.Max(value, y.From)), 0, 1) * plotHeight)"
        [ "effects: a chart" ]

    training
        "a chart's marks at its start"
        "Reporting/SvgChart.cs"
        "Line(svg, \"mark\", X(mark), Top, X(mark), Top + plotHeight);"
        "Line(svg, \"mark\", X(0), Top, X(0), Top + plotHeight);"
        [ "effects: a chart" ]

    training
        "the difference from what was published with the wrong sign"
        "Studies/Reproduction.cs"
        "(Total(result).Mean - published.Mean)"
        "(published.Mean - Total(result).Mean)"
        [ "wiring: cells.0.published.deviation" ]

    training
        "a sweep ranked from the worst"
        "Studies/SweepTable.cs"
        ".OrderByDescending(point => Spread.Of(point.TotalReward).Mean)"
        ".OrderBy(point => Spread.Of(point.TotalReward).Mean)"
        [ "studies: ranks them" ]

    training
        "theory's table shows the first horizon for the last"
        "Theory/TheoryTable.cs"
        "method.Select(cell => Number(cell.Loss[^1]))"
        "method.Select(cell => Number(cell.Loss[0]))"
        [ "theory's own: theory's table" ]

    training
        "a learning curve at the ends of its intervals"
        "Reporting/Curve.cs"
        "(Start(log, group[0]) + log.EnvironmentSteps[group[^1]]) / 2"
        "log.EnvironmentSteps[group[^1]]"
        [ "effects: a learning curve" ]
]

/// The faults. Each anchor must stand exactly once in its file, and there must be five of each kind; tests say so.
let all: HostFault list = wiring @ index @ state @ unit @ formula @ resume @ evaluation @ report
