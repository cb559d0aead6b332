namespace Bmg

open System
open System.ComponentModel
open System.Collections.Generic
open TorchSharp

/// An immutable, named, ordered set of tensors: learner parameters x, meta-parameters w, gradients, moments, a model's outputs.
/// Every tensor has a leading population axis: P members, or 1 where all members share it.
/// Equality is by reference; who owns the tensors disposes them, all at once with `Dispose` (see `Params.detachFromScope` as well).
[<Sealed>]
type Params private (names: string[], tensors: Tensor[], index: Dictionary<string, int>) =

    static let empty = new Params([||], [||], Dictionary())

    static member private IndexOf(names: string[]) =
        let index = Dictionary<string, int>(names.Length)

        for i in 0 .. names.Length - 1 do
            if not (index.TryAdd(names[i], i)) then
                Check.fail "Params.Create" "names" "distinct" $"'{names[i]}' twice"

        index

    /// The set that holds nothing: the state of an optimizer without moments, say.
    static member Empty: Params = empty

    /// <summary>A set from names and tensors, in that order.</summary>
    /// <param name="names">Distinct names.</param>
    /// <param name="tensors">As many tensors, [P, …] each; they are not copied.</param>
    /// <returns>The set.</returns>
    /// <exception cref="T:System.ArgumentException">The numbers differ, or a name stands twice.</exception>
    static member Create(names: string[], tensors: Tensor[]) : Params =
        Check.require "Params.Create" "tensors" $"{names.Length} tensors" tensors.Length (tensors.Length = names.Length)
        new Params(Array.copy names, Array.copy tensors, Params.IndexOf names)

    /// <summary>One named tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="tensor">[P, …]</param>
    /// <returns>The set.</returns>
    static member Single(name: string, tensor: Tensor) : Params = Params.Create([| name |], [| tensor |])

    /// The same names with other tensors; takes ownership of the array.
    member internal _.WithTensors(others: Tensor[]) : Params = new Params(names, others, index)

    member internal _.NameArray = names
    member internal _.TensorArray = tensors

    /// Names in order.
    member _.Names: IReadOnlyList<string> = names

    /// Tensors in the order of the names.
    member _.Tensors: IReadOnlyList<Tensor> = tensors

    /// Number of tensors.
    member _.Count: int = names.Length

    /// The size of the population axis; 0 for the empty set.
    member _.Members: int64 = if tensors.Length = 0 then 0L else tensors[0].shape[0]

    /// Whether there is a tensor of this name.
    member _.Contains(name: string) : bool = index.ContainsKey name

    /// <summary>Applies a function to every tensor.</summary>
    /// <param name="f">Tensor → tensor.</param>
    /// <returns>A set of the same names.</returns>
    member _.Map(f: Func<Tensor, Tensor>) : Params =
        new Params(names, Array.map f.Invoke tensors, index)

    /// Disposes every tensor at once, rather than at the end of a scope.
    member _.Dispose() : unit =
        for t in tensors do
            t.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

    /// The tensor of this name; an ArgumentException lists the names there are.
    member _.Item
        with get (name: string): Tensor =
            match index.TryGetValue name with
            | true, i -> tensors[i]
            | _ -> Check.fail "Params.Item" "name" ("one of " + String.Join(", ", names)) $"'{name}'"

/// Functions over whole sets of parameters. Nothing is written in place.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Params =

    /// Applies `f` to every tensor.
    let map (f: Tensor -> Tensor) (p: Params) : Params =
        p.WithTensors(Array.map f p.TensorArray)

    let private paired (fn: string) (a: Params) (b: Params) =
        if
            not (obj.ReferenceEquals(a.NameArray, b.NameArray))
            && a.NameArray <> b.NameArray
        then
            Check.fail fn "b" ("named " + String.Join(", ", a.NameArray)) (String.Join(", ", b.NameArray))

    /// Applies `f` to tensors of the same name; both sets must have the same names in the same order.
    let map2 (f: Tensor -> Tensor -> Tensor) (a: Params) (b: Params) : Params =
        paired "Params.map2" a b
        a.WithTensors(Array.map2 f a.TensorArray b.TensorArray)

    /// a + b.
    let add (a: Params) (b: Params) : Params = map2 (fun x y -> x.plus y) a b

    /// a − b.
    let subtract (a: Params) (b: Params) : Params = map2 (fun x y -> x.minus y) a b

    /// Zeros of the same shapes.
    let zerosLike (p: Params) : Params = map (fun t -> torch.zeros_like t) p

    /// The same values, cut out of any graph (storage is shared).
    let detach (p: Params) : Params = map (fun t -> t.detach ()) p

    /// Copies of the values, cut out of any graph.
    let clone (p: Params) : Params =
        map
            (fun t ->
                use cut = t.detach ()
                cut.clone ())
            p

    /// Leaves of a new graph with the same values (storage is shared).
    let leaves (p: Params) : Params =
        map (fun t -> t.detach().requires_grad_ true) p

    /// Converts every tensor to a type and a device.
    let convert (dtype: torch.ScalarType) (device: torch.Device) (p: Params) : Params =
        map (fun t -> t.``to`` (dtype, device)) p

    /// Disposes every tensor at once, rather than at the end of a scope.
    let dispose (p: Params) : unit = p.Dispose()

    /// Takes the tensors out of every dispose scope: from here on the caller owns them.
    let detachFromScope (p: Params) : Params =
        for t in p.TensorArray do
            t.DetachFromDisposeScope() |> ignore

        p

    /// Moves the tensors to the next outer dispose scope, so that they survive the end of this one.
    let moveToOuterScope (p: Params) : Params =
        for t in p.TensorArray do
            t.MoveToOuterDisposeScope() |> ignore

        p

    /// The set with `prefix` before every name.
    let prefix (prefix: string) (p: Params) : Params =
        Params.Create(Array.map (fun n -> prefix + n) p.NameArray, p.TensorArray)

    /// The tensors whose names start with `prefix`, without it.
    let sub (prefix: string) (p: Params) : Params =
        let chosen =
            Array.zip p.NameArray p.TensorArray
            |> Array.filter (fun (n, _) -> n.StartsWith(prefix, StringComparison.Ordinal))

        Params.Create(chosen |> Array.map (fun (n, _) -> n.Substring prefix.Length), Array.map snd chosen)

    /// Applies `f` to every name and tensor.
    let mapNamed (f: string -> Tensor -> Tensor) (p: Params) : Params =
        p.WithTensors(Array.map2 f p.NameArray p.TensorArray)

    /// The tensors whose names satisfy a condition, in order.
    let only (condition: string -> bool) (p: Params) : Params =
        let chosen = Array.zip p.NameArray p.TensorArray |> Array.filter (fun (n, _) -> condition n)

        Params.Create(Array.map fst chosen, Array.map snd chosen)

    /// All tensors of several sets, in order; names must be distinct.
    let merge (sets: Params[]) : Params =
        Params.Create(sets |> Array.collect (fun p -> p.NameArray), sets |> Array.collect (fun p -> p.TensorArray))

    /// One member alone, as a population of one (a view).
    let ofMember (i: int64) (p: Params) : Params = map (fun t -> t.narrow (0L, i, 1L)) p

    /// Populations joined along the population axis.
    let concatenate (populations: Params[]) : Params =
        let first = populations[0]

        first.WithTensors(
            Array.init first.Count (fun i -> torch.cat (populations |> Array.map (fun p -> p.TensorArray[i]), 0L))
        )

    /// Values per member [P], reshaped to broadcast against `like` [P, …].
    let broadcast (perMember: Tensor) (like: Tensor) : Tensor =
        let rank = like.shape.Length

        if rank <= 1 then
            perMember
        else
            let shape = Array.create rank 1L
            shape[0] <- perMember.shape[0]
            perMember.view shape

    /// Sum over everything but the population axis: [P, …] → [P].
    let sumPerMember (t: Tensor) : Tensor =
        if t.shape.Length <= 1 then t else t.flatten(1L).sum(1L)

    /// Inner product of two sets, per member: Σ aᵢ·bᵢ, [P].
    let dot (a: Params) (b: Params) : Tensor =
        let products = map2 (fun x y -> sumPerMember (x.mul y)) a b
        products.TensorArray |> Array.reduce (fun s t -> s.plus t)

    /// Squared Euclidean norm per member, [P].
    let squaredNorm (p: Params) : Tensor = dot p p

    /// All values of each member in one row, [P, N].
    let flatten (p: Params) : Tensor =
        torch.cat (p.TensorArray |> Array.map (fun t -> t.reshape (t.shape[0], -1L)), 1L)

    /// The inverse of `flatten`: rows of values [P, N] in the shapes of `like`.
    let unflatten (like: Params) (rows: Tensor) : Params =
        let mutable start = 0L

        like
        |> map (fun t ->
            let shape = Array.copy t.shape
            shape[0] <- rows.shape[0]
            let size = shape |> Array.skip 1 |> Array.fold (*) 1L
            let piece = rows.narrow(1L, start, size).reshape shape
            start <- start + size
            piece)

/// The functions of the module as members: what C# calls.
type Params with

    /// <summary>Applies a function to tensors of the same name.</summary>
    /// <param name="other">A set with the same names in the same order.</param>
    /// <param name="f">(this tensor, the other's) → tensor.</param>
    /// <returns>A set of the same names.</returns>
    /// <exception cref="T:System.ArgumentException">The names differ.</exception>
    member this.Map2(other: Params, f: Func<Tensor, Tensor, Tensor>) : Params =
        Params.map2 (fun a b -> f.Invoke(a, b)) this other

    /// <summary>Applies a function to every name and tensor.</summary>
    /// <param name="f">(name, tensor) → tensor.</param>
    /// <returns>A set of the same names.</returns>
    member this.MapNamed(f: Func<string, Tensor, Tensor>) : Params =
        Params.mapNamed (fun name t -> f.Invoke(name, t)) this

    /// <summary>The tensors whose names satisfy a condition, in order.</summary>
    /// <param name="condition">Whether a name is wanted.</param>
    /// <returns>The same tensors, not copies.</returns>
    member this.Only(condition: Func<string, bool>) : Params = Params.only condition.Invoke this

    /// <summary>The sum, tensor by tensor.</summary>
    /// <param name="other">A set with the same names in the same order.</param>
    /// <returns>this + other.</returns>
    member this.Add(other: Params) : Params = Params.add this other

    /// <summary>The difference, tensor by tensor.</summary>
    /// <param name="other">A set with the same names in the same order.</param>
    /// <returns>this − other.</returns>
    member this.Subtract(other: Params) : Params = Params.subtract this other

    /// <summary>Zeros of the same names and shapes.</summary>
    member this.ZerosLike() : Params = Params.zerosLike this

    /// <summary>The same values, cut out of any graph; storage is shared.</summary>
    member this.Detach() : Params = Params.detach this

    /// <summary>Copies of the values, cut out of any graph.</summary>
    member this.Clone() : Params = Params.clone this

    /// <summary>Leaves of a new graph with the same values; storage is shared.</summary>
    member this.Leaves() : Params = Params.leaves this

    /// <summary>Every tensor in another type, on another device.</summary>
    /// <param name="dtype">The type.</param>
    /// <param name="device">The device.</param>
    /// <returns>New tensors, or the same where they are so already.</returns>
    member this.Convert(dtype: torch.ScalarType, device: torch.Device) : Params = Params.convert dtype device this

    /// <summary>Takes the tensors out of every dispose scope: from here on the caller owns them.</summary>
    /// <returns>The set itself.</returns>
    member this.DetachFromScope() : Params = Params.detachFromScope this

    /// <summary>Moves the tensors to the next outer dispose scope, so that they survive the end of this one.</summary>
    /// <returns>The set itself.</returns>
    member this.MoveToOuterScope() : Params = Params.moveToOuterScope this

    /// <summary>The set with a prefix before every name.</summary>
    /// <param name="prefix">What every name begins with afterwards.</param>
    /// <returns>The same tensors under other names.</returns>
    member this.WithPrefix(prefix: string) : Params = Params.prefix prefix this

    /// <summary>The tensors whose names start with a prefix, without it.</summary>
    /// <param name="prefix">The prefix.</param>
    /// <returns>The same tensors under shorter names.</returns>
    member this.Sub(prefix: string) : Params = Params.sub prefix this

    /// <summary>One member alone, as a population of one.</summary>
    /// <param name="index">Which member, from 0.</param>
    /// <returns>Views of the tensors, [1, …] each.</returns>
    member this.OfMember(index: int64) : Params = Params.ofMember index this

    /// <summary>Inner product with another set, per member.</summary>
    /// <param name="other">A set with the same names in the same order.</param>
    /// <returns>Σ aᵢ·bᵢ, [P].</returns>
    member this.Dot(other: Params) : Tensor = Params.dot this other

    /// <summary>Squared Euclidean norm per member, [P].</summary>
    member this.SquaredNorm() : Tensor = Params.squaredNorm this

    /// <summary>All values of each member in one row, [P, N].</summary>
    member this.Flatten() : Tensor = Params.flatten this

    /// <summary>The inverse of <c>Flatten</c>.</summary>
    /// <param name="rows">Rows of values, [P, N].</param>
    /// <returns>The values in the names and shapes of this set.</returns>
    member this.Unflatten(rows: Tensor) : Params = Params.unflatten this rows

    /// <summary>All tensors of several sets, in order.</summary>
    /// <param name="sets">Sets whose names are distinct among all of them.</param>
    /// <returns>One set of the same tensors.</returns>
    static member Merge([<ParamArray>] sets: Params[]) : Params = Params.merge sets

    /// <summary>Populations joined along the population axis.</summary>
    /// <param name="populations">At least one; all of the same names and shapes but for the axis of members.</param>
    /// <returns>New tensors, of all members in order.</returns>
    static member Concatenate([<ParamArray>] populations: Params[]) : Params = Params.concatenate populations

    /// <summary>Values per member, reshaped to broadcast against a tensor.</summary>
    /// <param name="perMember">[P]</param>
    /// <param name="like">[P, …]</param>
    /// <returns>[P, 1, …], of the rank of <paramref name="like"/>.</returns>
    static member Broadcast(perMember: Tensor, like: Tensor) : Tensor = Params.broadcast perMember like

    /// <summary>Sum over everything but the population axis.</summary>
    /// <param name="values">[P, …]</param>
    /// <returns>[P]</returns>
    static member SumPerMember(values: Tensor) : Tensor = Params.sumPerMember values
