namespace Bmg

module Check =
    let dummy = 1
