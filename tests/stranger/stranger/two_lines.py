"""A prefetcher: a miss brings the line after the next."""

from hwsim.describe.prefetchers import PREFETCHERS, Prefetcher


def ahead(notes, first, stream, line, missed):
    return line + 2 if missed else -1


PREFETCHERS.register("two-lines")(
    Prefetcher("the line after the next", words=lambda _: 0, ahead=ahead)
)
