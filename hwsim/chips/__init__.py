"""Networks on several chips: layers split over them, in a pipeline, or copied.

These are the three ways, which may be used together, and what moves:

    tensor      every layer's channels or heads are split over t chips, which exchange what they
                lack (hwsim.chips.shards, hwsim.chips.tensor)
    pipeline    layers follow each other on p groups of chips (hwsim.chips.pipeline)
    data        d copies of all that take a part of the batch each
    what moves  collectives, round by round, over the links (hwsim.chips.collectives,
                hwsim.chips.network)
"""
